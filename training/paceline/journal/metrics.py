"""A run's metrics for Prometheus, out of its events; the names are those of spec/metrics.py."""

from __future__ import annotations

from paceline.journal.exposition import exposition
from paceline.journal.recent import RecentGoodput
from paceline.spec import metrics as names
from paceline.spec.events import (
    AnyEvent,
    CheckpointCommitted,
    CheckpointFailed,
    CompileMissed,
    EvaluationFinished,
    MembershipChanged,
    RunFinished,
    RunStarted,
    StepFinished,
)

_COUNTERS = (names.NODES_LOST, names.CHECKPOINT_FAILURES, names.GRAPHS_MISSED, names.STEPS, names.TOKENS)


class RunMetrics:
    """The present value of every metric that the events seen so far determine."""

    def __init__(self) -> None:
        self._run = ""
        self._values: dict[str, float] = {}
        self._standing: dict[str, str] = {}
        self._goodput = RecentGoodput()

    def observe(self, event: AnyEvent) -> None:
        """Take an event in; of steps, those of rank 0 speak for the run."""
        self._run = event.run
        values = self._values
        self._goodput.observe(event)
        self._keep(names.GOODPUT, self._goodput.ratio)
        match event:
            case RunStarted():
                values[names.RUNNING] = 1
                values[names.SPARES_WANTED] = event.spares
                for counter in _COUNTERS:
                    values.setdefault(counter, 0)
            case RunFinished():
                values[names.RUNNING] = 0
            case StepFinished(rank=0):
                self._step(event)
            case CheckpointCommitted():
                values[names.LAST_CHECKPOINT_TIMESTAMP] = event.time.timestamp()
            case CheckpointFailed():
                values[names.CHECKPOINT_FAILURES] = values.get(names.CHECKPOINT_FAILURES, 0) + 1
            case CompileMissed():
                values[names.GRAPHS_MISSED] = values.get(names.GRAPHS_MISSED, 0) + 1
            case MembershipChanged(node=str(node)):
                if event.state == "lost" and self._standing.get(node) != "lost":
                    values[names.NODES_LOST] = values.get(names.NODES_LOST, 0) + 1
                self._standing[node] = event.state
                values[names.SPARES] = sum(state == "spare" for state in self._standing.values())
            case EvaluationFinished():
                self._keep(names.HELD_OUT_LOSS, event.loss)
                self._keep(names.BITS_PER_BYTE, event.bits_per_byte)
            case _:
                pass

    def text(self) -> str:
        """All of them in Prometheus' text format."""
        return exposition({name: [({}, value)] for name, value in self._values.items()}, run=self._run)

    def scalars(self) -> dict[str, float]:
        """All of them by their names without `paceline_`."""
        return {name.removeprefix("paceline_"): value for name, value in self._values.items()}

    def _step(self, event: StepFinished) -> None:
        values = self._values
        values[names.STEPS] = event.step
        values[names.TOKENS] = values.get(names.TOKENS, 0) + event.tokens
        values[names.STEP_SECONDS] = event.seconds
        values[names.TOKENS_PER_SECOND] = event.tokens / event.seconds
        values[names.LAST_STEP_TIMESTAMP] = event.time.timestamp()
        values[names.LEARNING_RATE] = event.learning_rate
        values[names.DATA_WAIT_SECONDS] = event.data_seconds
        values[names.CHECKPOINT_WAIT_SECONDS] = event.checkpoint_seconds
        self._keep(names.LOSS, event.loss)
        self._keep(names.GRADIENT_NORM, event.gradient_norm)
        self._keep(names.MFU, event.mfu)
        self._keep(names.MEMORY_BYTES, event.memory_bytes)

    def _keep(self, name: str, value: float | None) -> None:
        if value is not None:
            self._values[name] = value
