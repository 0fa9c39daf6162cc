"""A slow network: every packet is late."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field

_SECONDS = 4.0


class DelayedPackets(FaultClass):
    breaks = "every packet between the nodes and the coordinator is 0.1 to 0.5 s late"
    then = "nothing: late is not lost"
    signs = ()
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        with field.weather(*field.members(rng)) as lines:
            for line in lines:
                line.delay(rng.uniform(0.1, 0.5))
            field.pause(_SECONDS)
