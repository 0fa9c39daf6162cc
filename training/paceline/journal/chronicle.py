"""The events worth reading, in order: routine as one line, and what only machines need left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from paceline.journal.sentences import sentence
from paceline.journal.timeline import SECOND, microseconds
from paceline.journal.units import counted, duration, listed
from paceline.spec.events import (
    ActionStarted,
    AnyEvent,
    CheckpointCommitted,
    CheckpointFailed,
    CheckpointPersisted,
    CheckpointRejected,
    CompileMissed,
    CorruptionJudged,
    DataConsumed,
    FaultClassified,
    FaultDetected,
    FaultInjected,
    GenerationOpened,
    MembershipChanged,
    PhaseChanged,
    SnapshotReplicated,
    SnapshotTaken,
    StepFinished,
    StragglerFound,
)

_UNLISTED = (DataConsumed, PhaseChanged, SnapshotTaken, SnapshotReplicated, CheckpointPersisted, ActionStarted)
_ROUTINE = (StepFinished, CheckpointCommitted)
_TROUBLE = (
    FaultInjected,
    FaultDetected,
    FaultClassified,
    CorruptionJudged,
    StragglerFound,
    CheckpointFailed,
    CheckpointRejected,
    CompileMissed,
)


class Row(NamedTuple):
    """`seconds` after the first run.started; `nodes` as one text; `tone` is routine, trouble or turn (or nothing)."""

    seconds: float
    nodes: str
    text: str
    tone: str = ""


def chronicle(events: Sequence[AnyEvent], start: int) -> tuple[list[Row], Counter[str]]:
    """The rows, and how many events of each kind are not among them. `start` is in microseconds."""
    rows: list[Row] = []
    unlisted: Counter[str] = Counter()
    stretch: list[AnyEvent] = []
    for event in events:
        if isinstance(event, _UNLISTED):
            unlisted[event.kind] += 1
        elif stretch and not _continues(stretch, event):
            rows.append(_row(stretch, start))
            stretch = [event]
        else:
            stretch.append(event)
    if stretch:
        rows.append(_row(stretch, start))
    return rows, unlisted


def _continues(stretch: list[AnyEvent], event: AnyEvent) -> bool:
    """Whether `event` belongs in the line of `stretch`: routine in one generation, or several nodes with one news."""
    last = stretch[-1]
    if isinstance(last, _ROUTINE) and isinstance(event, _ROUTINE):
        return True
    return isinstance(last, MembershipChanged) and type(event) is type(last) and sentence(event) == sentence(last)


def _row(stretch: list[AnyEvent], start: int) -> Row:
    first = stretch[0]
    seconds = (microseconds(first.time) - start) / SECOND
    nodes = listed(sorted({node for event in stretch if (node := event.node or getattr(event, "target", None))}))
    steps = [event for event in stretch if isinstance(event, StepFinished)]
    if steps and len(stretch) > 1:
        return Row(seconds, nodes, _routine(steps, stretch), "routine")
    texts = dict.fromkeys(sentence(event) for event in stretch)
    return Row(seconds, nodes, " ".join(texts), _tone(first))


def _routine(steps: list[StepFinished], stretch: Iterable[AnyEvent]) -> str:
    numbers = [step.step for step in steps]
    low, high = min(numbers), max(numbers)
    which = f"Step {low:,} finished" if low == high else f"Steps {low:,} to {high:,} finished"
    took = (microseconds(steps[-1].time) - microseconds(steps[0].time)) / SECOND + steps[0].seconds
    losses = [step.loss for step in steps if step.loss is not None]
    loss = f"; loss {losses[0]:.3f}" + (f" to {losses[-1]:.3f}" if low != high else "") if losses else ""
    saved = [event.step for event in stretch if isinstance(event, CheckpointCommitted)]
    if len(saved) == 1:
        return f"{which} in {duration(took)}{loss}; checkpoint of step {saved[0]:,} committed."
    more = f"; {counted(len(saved), 'checkpoint')} committed, the last of step {max(saved):,}" if saved else ""
    return f"{which} in {duration(took)}{loss}{more}."


def _tone(event: AnyEvent) -> str:
    if isinstance(event, _TROUBLE) or (isinstance(event, MembershipChanged) and event.state == "lost"):
        return "trouble"
    return "turn" if isinstance(event, GenerationOpened) else ""
