"""The data of one rank does not come: a mount that does not answer."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class DataHang(FaultClass):
    breaks = "a read of the data on one rank never returns"
    then = "the rank is named as waiting for its data, and all restart from memory"
    signs = ("hang.judged",)

    def strike(self, field: Field, rng: Random) -> None:
        field.order(field.member(rng), Order(deed=Deed.HANG_IN_DATA))
