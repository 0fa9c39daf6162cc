"""The one process of which there is only one is killed."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class CoordinatorLoss(FaultClass):
    breaks = "the coordinator gets SIGKILL"
    then = "training goes on, a successor learns from the nodes what was decided"
    signs = ()
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        field.kill_coordinator()
