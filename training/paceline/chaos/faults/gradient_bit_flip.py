"""Silent corruption in computing: a bit of a gradient is another one on its way through one rank's backward."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class GradientBitFlip(FaultClass):
    leg = Leg.REPLICAS
    breaks = "one of the upper 16 bits of one element of a gradient flips in one rank's backward"
    then = "a partner gets another result: the step is taken again, and the node whose result stands alone is left out"

    def strike(self, field: Field, rng: Random) -> None:
        field.order(
            field.member(rng),
            Order(deed=Deed.FLIP_GRADIENT, element=rng.randrange(1 << 30), bit=rng.randrange(16, 32)),
        )
