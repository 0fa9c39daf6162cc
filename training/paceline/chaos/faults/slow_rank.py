"""A rank is slow, and moves: a throttled processor, a half broken link to its memory."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field
from paceline.chaos.orders import SLOW_STEPS, Deed, Order

_SECONDS_A_LAYER = 0.002
_PATIENCE_SECONDS = 300.0


class SlowRank(FaultClass):
    leg = Leg.REPLICAS
    breaks = "every layer of one rank takes 2 ms longer, for 64 steps"
    then = "the rank is named as the slow one; nothing is restarted"
    signs = ("straggler.found",)
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        step = field.step
        field.order(field.member(rng), Order(deed=Deed.SLOW, amount=_SECONDS_A_LAYER))
        field.wait(lambda: field.step >= step + SLOW_STEPS, _PATIENCE_SECONDS)
