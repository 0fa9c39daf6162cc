"""Progress words: how far a worker is, written to shared memory without a message, a lock or a cost.

Three signed 64-bit words: optimizer steps done, phase, monotonic time of the last change in nanoseconds. The supervisor
reads them whenever it likes; a torn read shows two adjacent moments, which is harmless.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

_WORDS = struct.Struct("<qqq")


class Phase(IntEnum):
    """What the worker is at, in the order of a step."""

    STANDBY = 0
    BUILD = 1
    RESTORE = 2
    DATA = 3
    FORWARD_BACKWARD = 4
    FENCE = 5
    UPDATE = 6
    DONE = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressWords:
    """`changed_ns` is of the machine's monotonic clock, which all its processes share."""

    step: int
    phase: Phase
    changed_ns: int

    @property
    def idle_seconds(self) -> float:
        """How long nothing has been written."""
        return (time.monotonic_ns() - self.changed_ns) / 1e9


class Progress:
    """One worker's words, on a memfd that supervisor and worker map."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        if os.fstat(fd).st_size < _WORDS.size:
            os.ftruncate(fd, _WORDS.size)
        self._map = mmap.mmap(fd, _WORDS.size)

    def write(self, *, step: int, phase: Phase) -> None:
        _WORDS.pack_into(self._map, 0, step, int(phase), time.monotonic_ns())

    def read(self) -> ProgressWords:
        step, phase, changed = _WORDS.unpack_from(self._map, 0)
        return ProgressWords(step=step, phase=Phase(phase), changed_ns=changed)

    def close(self) -> None:
        self._map.close()
