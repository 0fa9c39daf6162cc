"""Append events to a run's journal: one file per producer, one JSON line per event, written at once.

A disk that is full must not stop the work that is told of: what does not fit waits in memory for the next event.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

from paceline.spec.events import Event, now

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a person's share of it, the limit of a process


class Journal:
    """One producer's file in the journal directory of a run. `generation` is stamped on every event."""

    def __init__(
        self, directory: Path, *, run: str, producer: str, node: str | None = None, rank: int | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{producer}.jsonl"
        _drop_torn_line(path)
        self.generation: int | None = None
        self._context: dict[str, Any] = {"run": run, "producer": producer, "node": node, "rank": rank}
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._unwritten = bytearray()
        self._writing = threading.Lock()

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Write one event now. `fields` are the event's own; those given here win over the journal's context."""
        context = {**self._context, "generation": self.generation, **fields}
        event = kind(time=now(), monotonic_ns=time.monotonic_ns(), **context)
        with self._writing:
            self._unwritten += event.model_dump_json(exclude_none=True).encode() + b"\n"
            self._write()

    def close(self) -> None:
        """End. What still does not fit is lost."""
        with self._writing:
            self._write()
            os.close(self._fd)

    def _write(self) -> None:
        try:
            while self._unwritten:
                del self._unwritten[: os.write(self._fd, self._unwritten)]
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed predecessor left half written, so that the next event starts its own line."""
    if path.exists():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
