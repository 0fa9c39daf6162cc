"""Silent corruption in computing: a bit of one rank's gradients is another one before the update."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class GradientBitFlip(FaultClass):
    leg = Leg.REPLICAS
    breaks = "one of the 32 bits of one element of one rank's gradients flips before the update"
    then = "its replica disagrees: the node is convicted and left out, and the run goes back to a verified state"
    patience = 20.0

    def strike(self, field: Field, rng: Random) -> None:
        field.order(
            field.member(rng),
            Order(deed=Deed.FLIP_GRADIENT, element=rng.randrange(1 << 30), bit=rng.randrange(32)),
        )
