"""What a person wants to see of a run while it runs: the notable events as sentences, the steps thinned out."""

from __future__ import annotations

from datetime import datetime

from paceline.journal.sentences import sentence
from paceline.journal.units import offset
from paceline.spec.events import (
    ActionDecided,
    AnyEvent,
    CheckpointCommitted,
    CheckpointFailed,
    CheckpointRejected,
    CheckpointRestored,
    CompileMissed,
    EvaluationFinished,
    FaultDetected,
    FaultInjected,
    GenerationOpened,
    GraphsCompiled,
    RunFinished,
    RunStarted,
    SpareLent,
    SpareReturned,
    StepFinished,
)

_NOTABLE = (
    RunStarted,
    RunFinished,
    GenerationOpened,
    CheckpointCommitted,
    CheckpointFailed,
    CheckpointRejected,
    CheckpointRestored,
    EvaluationFinished,
    GraphsCompiled,
    CompileMissed,
    FaultInjected,
    FaultDetected,
    ActionDecided,
    SpareLent,
    SpareReturned,
)


class LiveLines:
    """Lines for the events of one run, as they come. `every` is the number of steps between two step lines."""

    def __init__(self, total_steps: int, every: int | None = None) -> None:
        self._total = total_steps
        self._every = every or max(1, total_steps // 10)
        self._start: datetime | None = None
        self._generation: int | None = None

    def line(self, event: AnyEvent) -> str | None:
        """The line for `event`, or None when it is not for people."""
        self._start = self._start or event.time
        if isinstance(event, StepFinished):
            text = self._step(event)
        else:
            text = sentence(event) if isinstance(event, _NOTABLE) else None
        if text is None:
            return None
        clock = offset((event.time - self._start).total_seconds())
        about = event.node or getattr(event, "target", None) or event.producer
        return f"{clock:>10}  {about:<12} {text}"

    def _step(self, event: StepFinished) -> str | None:
        """One rank speaks for all; the first step of a generation is always worth a line."""
        if event.rank != 0:
            return None
        first = event.generation != self._generation
        self._generation = event.generation
        if not first and event.step % self._every and event.step != self._total:
            return None
        loss = {} if event.loss is None else {"loss": event.loss}
        means = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in (loss | event.metrics).items())
        rate = event.tokens / event.seconds
        return f"Step {event.step:,} of {self._total:,}{means}, {rate:,.0f} tokens/s."
