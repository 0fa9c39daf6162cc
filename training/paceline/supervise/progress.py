"""Progress words: how far a worker is, written to shared memory without a message, a lock or a cost.

Six signed 64-bit words: optimizer steps done, phase, monotonic time of the last change in nanoseconds; then the steps
of this generation, and the nanoseconds that they took of waiting for data and of own computing. The supervisor reads
them whenever it likes; a torn read shows two adjacent moments, which is harmless.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

_WORDS = struct.Struct("<qqq")
_WORK = struct.Struct("<qqq")
_SIZE = _WORDS.size + _WORK.size


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
    worked_steps: int
    data_ns: int
    compute_ns: int

    @property
    def idle_seconds(self) -> float:
        """How long nothing has been written."""
        return (time.monotonic_ns() - self.changed_ns) / 1e9


class Progress:
    """One worker's words, on a memfd that supervisor and worker map."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        if os.fstat(fd).st_size < _SIZE:
            os.ftruncate(fd, _SIZE)
        self._map = mmap.mmap(fd, _SIZE)

    def write(self, *, step: int, phase: Phase) -> None:
        _WORDS.pack_into(self._map, 0, step, int(phase), time.monotonic_ns())

    def add_work(self, *, data_seconds: float, compute_seconds: float) -> None:
        """A step is done, and took so much of this rank's own time."""
        steps, data_ns, compute_ns = _WORK.unpack_from(self._map, _WORDS.size)
        spent = round(data_seconds * 1e9), round(compute_seconds * 1e9)
        _WORK.pack_into(self._map, _WORDS.size, steps + 1, data_ns + spent[0], compute_ns + spent[1])

    def read(self) -> ProgressWords:
        step, phase, changed = _WORDS.unpack_from(self._map, 0)
        steps, data_ns, compute_ns = _WORK.unpack_from(self._map, _WORDS.size)
        return ProgressWords(
            step=step,
            phase=Phase(phase),
            changed_ns=changed,
            worked_steps=steps,
            data_ns=data_ns,
            compute_ns=compute_ns,
        )

    def close(self) -> None:
        self._map.close()
