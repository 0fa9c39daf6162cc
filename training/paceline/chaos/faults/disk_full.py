"""A node has no room left on any disk."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field

_STEPS = 25  # more than there are between two checkpoints
_PATIENCE_SECONDS = 12.0


class DiskFull(FaultClass):
    leg = Leg.BARE
    breaks = "no file of any process on a node can grow, for the time of some checkpoints"
    then = "those checkpoints are missing, and it is said why; training goes on, events follow when there is room"
    signs = ("checkpoint.failed",)
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        step = field.step
        with field.full_disk(field.member(rng)):
            field.wait(lambda: field.step >= step + _STEPS, _PATIENCE_SECONDS)
