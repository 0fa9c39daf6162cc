"""A rank waits for a message that nobody sends, while the others are in the sums of a step."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class CollectiveHang(FaultClass):
    breaks = "a rank calls another collective than its peers, and all wait for ever"
    then = "the rank is named with its stacks, and all restart from memory"
    signs = ("hang.judged",)

    def strike(self, field: Field, rng: Random) -> None:
        field.order(field.member(rng), Order(deed=Deed.HANG_IN_COLLECTIVE))
