"""A snapshot rots in memory, and is needed."""

from __future__ import annotations

import signal
from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class SnapshotBitFlip(FaultClass):
    breaks = "a bit flips in each snapshot that a node holds of its own rank, and its worker is killed"
    then = "the damage is found by its hash, and the buddy's copy is taken"

    def strike(self, field: Field, rng: Random) -> None:
        node = field.member(rng)
        field.signal_worker(node, signal.SIGSTOP)  # it would write a new one
        field.damage_snapshots(node, rng)
        field.signal_worker(node, signal.SIGKILL)
