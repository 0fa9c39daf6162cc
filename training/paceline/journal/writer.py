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
        self.generation: int | None = None
        self._context: dict[str, Any] = {"run": run, "producer": producer, "node": node, "rank": rank}
        self._file = (directory / f"{producer}.jsonl").open("a", encoding="utf-8", buffering=1)

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Write one event now. `fields` are the event's own; those given here win over the journal's context."""
        context = {**self._context, "generation": self.generation, **fields}
        event = kind(time=now(), monotonic_ns=time.monotonic_ns(), **context)
        self._file.write(event.model_dump_json(exclude_none=True) + "\n")

    def close(self) -> None:
        self._file.close()
