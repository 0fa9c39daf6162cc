"""A process that trains is killed, as by a segmentation fault or a person."""

from __future__ import annotations

import signal
from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class WorkerKill(FaultClass):
    breaks = "the process of one rank gets SIGKILL"
    then = "the standbys of all members take over from memory, nobody moves"

    def strike(self, field: Field, rng: Random) -> None:
        field.signal_worker(field.member(rng), signal.SIGKILL)
