"""Two nodes are hit in the same moment."""

from __future__ import annotations

import signal
from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class TwoAtOnce(FaultClass):
    breaks = "a node is lost, and the worker of another is killed in the same moment"
    then = "a spare takes the lost node's ranks; every state is still in some memory"

    def strike(self, field: Field, rng: Random) -> None:
        lost, other = field.members(rng)[:2]
        field.kill_node(lost)
        field.signal_worker(other, signal.SIGKILL)
