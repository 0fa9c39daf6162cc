"""Hand a run's events on while they are written: a textfile for Prometheus, and experiment trackers.

It follows the journal, so it costs the workers nothing, and a run that heals goes on in the same curves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline.journal.metrics import RunMetrics
from paceline.journal.sentences import sentence
from paceline.journal.trackers.base import Tracker
from paceline.spec.events import (
    ActionDecided,
    AnyEvent,
    EvaluationFinished,
    FaultDetected,
    GenerationOpened,
    RunFinished,
    StepFinished,
)

METRICS_NAME = "metrics.prom"

_TOLD = (ActionDecided, FaultDetected, GenerationOpened)
_WRITE_SECONDS = 5.0


class Exporter:
    """`metrics.prom` in the run's `directory`, for a node exporter's textfile collector, and `trackers`."""

    def __init__(self, directory: Path, trackers: Sequence[Tracker], *, run: str, config: Mapping[str, Any]) -> None:
        self._path = directory / METRICS_NAME
        self._metrics = RunMetrics()
        self._trackers = trackers
        self._step = 0
        self._written = 0.0
        for tracker in trackers:
            tracker.start(run, config, directory)

    def observe(self, event: AnyEvent) -> None:
        """Take one event on; steps that are done again after a fault are not told to trackers twice."""
        self._metrics.observe(event)
        if isinstance(event, StepFinished) and event.rank == 0 and event.step > self._step:
            self._step = event.step
            for tracker in self._trackers:
                tracker.scalars(event.step, self._metrics.scalars() | event.metrics)
        elif isinstance(event, EvaluationFinished) and event.step >= self._step:
            values = {f"accuracy/{name}": result.accuracy for name, result in event.tasks.items()}
            for tracker in self._trackers:
                tracker.scalars(event.step, self._metrics.scalars() | values)
        elif isinstance(event, _TOLD):
            for tracker in self._trackers:
                tracker.text(self._step, sentence(event))
        if isinstance(event, RunFinished) or time.monotonic() - self._written > _WRITE_SECONDS:
            self._write()

    def close(self) -> None:
        """Write what is known, and let the trackers go."""
        self._write()
        for tracker in self._trackers:
            tracker.artifact(self._path)
            tracker.finish()

    def _write(self) -> None:
        self._written = time.monotonic()
        temporary = self._path.with_suffix(".part")
        temporary.write_text(self._metrics.text(), encoding="utf-8")
        temporary.replace(self._path)
