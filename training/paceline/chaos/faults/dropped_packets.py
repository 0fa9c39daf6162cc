"""A lossy network: TCP sends again what was lost, later and later (RFC 6298: the time-out doubles)."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field

_TIMEOUTS_SECONDS = (0.2, 0.4, 0.8, 1.6)


class DroppedPackets(FaultClass):
    breaks = "packets between a node and the coordinator are lost, and sent again after 0.2, 0.4, 0.8 and 1.6 s"
    then = "nothing: the node was silent for a moment, and nothing is decided about it"
    signs = ()
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        with field.weather(field.member(rng)) as [line]:
            for seconds in _TIMEOUTS_SECONDS:
                line.hold()
                field.pause(seconds)
                line.release()
                field.pause(rng.uniform(0.05, 0.3))
