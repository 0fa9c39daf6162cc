"""A supervisor is killed, and nothing else of its node."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class SupervisorLoss(FaultClass):
    breaks = "the supervisor of a node gets SIGKILL"
    then = "its workers end with it, and a spare takes the node's ranks"

    def strike(self, field: Field, rng: Random) -> None:
        field.kill_supervisor(field.member(rng))
