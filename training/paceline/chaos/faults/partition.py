"""A node is cut off from the coordinator; its connections do not close, they only fall silent."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field

_PATIENCE_SECONDS = 20.0


class Partition(FaultClass):
    breaks = "nothing passes any more between a node and the coordinator, in neither direction"
    then = "its silence is noticed, a spare takes its ranks; when it is heard again it is a spare"

    def strike(self, field: Field, rng: Random) -> None:
        with field.weather(field.member(rng)) as [line]:
            line.hold()
            field.wait(field.opened, _PATIENCE_SECONDS)
