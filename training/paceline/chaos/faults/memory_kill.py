"""Out of memory: a worker grows until the kernel kills it."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order

_BYTES = 256 << 20


class MemoryKill(FaultClass):
    breaks = "a worker takes memory up to a limit and is killed there, while it is large"
    then = "the standbys of all members take over from memory, nobody moves"

    def strike(self, field: Field, rng: Random) -> None:
        field.order(field.member(rng), Order(deed=Deed.EXHAUST_MEMORY, amount=_BYTES))
