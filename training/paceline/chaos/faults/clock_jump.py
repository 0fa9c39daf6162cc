"""The time of day jumps, as a clock does that is set right, or wrong."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class ClockJump(FaultClass):
    breaks = "a worker's time of day jumps by up to an hour, forwards or backwards"
    then = "nothing: no decision is made by the time of day"
    signs = ()
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        jump = rng.choice((-1, 1)) * rng.uniform(60.0, 3600.0)
        field.order(field.member(rng), Order(deed=Deed.JUMP_CLOCK, amount=jump))
