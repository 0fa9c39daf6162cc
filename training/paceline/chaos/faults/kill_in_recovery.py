"""The second blow falls while the first is healed."""

from __future__ import annotations

import signal
from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field

_PATIENCE_SECONDS = 20.0


class KillInRecovery(FaultClass):
    breaks = "a worker is killed, and a node of the generation that heals it as soon as that is open"
    then = "that generation fails too, and the next one has the same state from memory, or from the checkpoint"

    def strike(self, field: Field, rng: Random) -> None:
        field.signal_worker(field.member(rng), signal.SIGKILL)
        field.wait(field.opened, _PATIENCE_SECONDS)
        field.kill_node(field.member(rng))
