"""A node is gone: power, kernel or network card."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class NodeLoss(FaultClass):
    breaks = "all processes of a node get SIGKILL, its snapshots and copies are gone"
    then = "a spare takes its ranks, with the copy that its buddy keeps"

    def strike(self, field: Field, rng: Random) -> None:
        field.kill_node(field.member(rng))
