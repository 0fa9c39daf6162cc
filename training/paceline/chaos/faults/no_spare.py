"""A node is lost and there is no other to take its place."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field


class NoSpare(FaultClass):
    leg = Leg.BARE
    breaks = "a node is lost, and no spare is left"
    then = "the run shrinks to the nodes that are left, with the same batch, and grows when the node is back"

    def strike(self, field: Field, rng: Random) -> None:
        field.kill_node(field.member(rng))
