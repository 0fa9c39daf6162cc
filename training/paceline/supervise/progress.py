"""Progress words: how far a worker is, written to shared memory without a message, a lock or a cost.

Ten signed 64-bit words: optimizer steps done, phase, monotonic time of the last change in nanoseconds; then what the
steps of this generation took (protocol.Work), in nanoseconds. The supervisor reads them whenever it likes; a torn read
shows two adjacent moments, which is harmless.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

from paceline.supervise.protocol import Work

_WORDS = struct.Struct("<qqq")
_WORK = struct.Struct("<qqqqqqq")
_SIZE = _WORDS.size + _WORK.size
_SCALES = {name: 1e9 if name.endswith("seconds") else 1 for name in Work.model_fields}


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
    work: Work

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

    def add_work(self, work: Work) -> None:
        """So much more was done."""
        before = _WORK.unpack_from(self._map, _WORDS.size)
        words = (round(value * _SCALES[name]) for name, value in work)
        _WORK.pack_into(self._map, _WORDS.size, *(old + new for old, new in zip(before, words, strict=True)))

    def read(self) -> ProgressWords:
        step, phase, changed = _WORDS.unpack_from(self._map, 0)
        words = _WORK.unpack_from(self._map, _WORDS.size)
        spent = {name: word / scale for (name, scale), word in zip(_SCALES.items(), words, strict=True)}
        return ProgressWords(step=step, phase=Phase(phase), changed_ns=changed, work=Work.model_validate(spent))

    def close(self) -> None:
        self._map.close()
