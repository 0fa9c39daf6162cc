"""Append events to a run's journal: one file per producer, one JSON line per event, flushed as it is written."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from paceline.spec.events import Event, now


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
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Write one event now. `fields` are the event's own; those given here win over the journal's context."""
        context = {**self._context, "generation": self.generation, **fields}
        event = kind(time=now(), monotonic_ns=time.monotonic_ns(), **context)
        self._file.write(event.model_dump_json(exclude_none=True) + "\n")

    def close(self) -> None:
        self._file.close()


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed predecessor left half written, so that the next event starts its own line."""
    if path.exists():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
