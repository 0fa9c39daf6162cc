"""Silent corruption at rest: a bit of the live parameters of one rank is another one than it was."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field
from paceline.chaos.orders import Deed, Order


class ParameterBitFlip(FaultClass):
    leg = Leg.REPLICAS
    breaks = "one of the 32 bits of one parameter of one rank flips between two updates"
    then = "the rank finds it before the update: its node is left out, and the run goes back to a verified state"

    def strike(self, field: Field, rng: Random) -> None:
        field.order(
            field.member(rng),
            Order(deed=Deed.FLIP_PARAMETER, element=rng.randrange(1 << 30), bit=rng.randrange(32)),
        )
