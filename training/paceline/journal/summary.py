"""A run in figures: what `summary.json` holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from paceline.journal.goodput import Ledger, ledger
from paceline.journal.history import Recovery
from paceline.journal.timeline import SECOND
from paceline.spec.base import Record
from paceline.spec.events import (
    AnyEvent,
    CheckpointRejected,
    CheckpointVerified,
    DataConsumed,
    DatasetPrepared,
    EvaluationFinished,
    RunFinished,
    StackDeployed,
    StepFinished,
    TaskScore,
)


class Fault(Record):
    """A fault that ended a generation, and what it cost. Steps and seconds are as in history.Recovery."""

    fault: str
    target: str
    fault_step: int
    resumed_step: int | None
    lost_steps: int | None
    detect_seconds: float
    recovery_seconds: float | None
    restored_from: Literal["memory", "manifest", "nothing"] | None


class EvaluationFigures(Record):
    """As in events.EvaluationFinished."""

    step: int
    loss: float
    bits_per_byte: float | None
    tasks: dict[str, TaskScore]


class Summary(Record):
    """The run in figures. Losses and entropy are in nats per token.

    The keys about a fault tell of the first one and are null in a run without one; `faults` tells of all. `goodput`
    counts the nodes that the run needs, `goodput_reserved` its spares too. `nodes` are all that took part or stood by,
    `spares` included; `seconds_by_class` adds up to `wall_seconds` times `nodes`. `checkpoint_verified` is null when
    no checkpoint was verified or refused.

    `tokens_per_second` and `mfu` are of the median step; `mfu` is null where no peak is known (StepFinished). `ledger`
    is the head after the last step. `evaluations` are in the order of their steps.
    """

    run: str
    recipe: str
    outcome: Literal["completed", "stopped", "failed", "unfinished"]
    nodes: int
    spares: int
    deployed_stacks: tuple[str, ...]
    steps: int
    train_tokens: int
    unigram_entropy: float | None
    first_loss: float | None
    final_loss: float | None
    tokens_per_second: float | None = None
    mfu: float | None = None
    ledger: str | None = None
    evaluations: tuple[EvaluationFigures, ...] = ()
    fault_step: int | None = None
    resumed_step: int | None = None
    lost_steps: int | None = None
    recovery_seconds: float | None = None
    detect_seconds: float | None = None
    restored_from: Literal["memory", "manifest", "nothing"] | None = None
    faults: tuple[Fault, ...]
    checkpoint_verified: bool | None
    goodput: float
    goodput_reserved: float
    wall_seconds: float
    seconds_by_class: dict[str, float]


def summary(events: Sequence[AnyEvent], book: Ledger | None = None) -> Summary:
    """The figures of a run. `book` is the ledger of `events`, if the caller has it already."""
    book = book or ledger(events)
    windows = book.history.windows
    losses = losses_by_step(events)
    steps = len({event.step for event in events if isinstance(event, StepFinished)})
    faults = tuple(_fault(recovery) for recovery in book.history.recoveries)
    first = faults[0].model_dump(exclude={"fault", "target"}) if faults else {}
    corpora = [event for event in events if isinstance(event, DatasetPrepared)]
    finishes = [event for event in events if isinstance(event, RunFinished)]
    started = windows[-1].started
    return Summary(
        run=started.run,
        recipe=started.recipe,
        outcome=finishes[-1].outcome if finishes and finishes[-1].time >= started.time else "unfinished",
        nodes=len(book.intervals),
        spares=started.spares,
        deployed_stacks=tuple(dict.fromkeys(e.stack for e in events if isinstance(e, StackDeployed))),
        steps=steps,
        train_tokens=steps * started.tokens_per_step,
        unigram_entropy=corpora[-1].unigram_entropy if corpora else None,
        first_loss=losses[min(losses)] if losses else None,
        final_loss=losses[max(losses)] if losses else None,
        tokens_per_second=_tokens_per_second(events),
        mfu=_median([event.mfu for event in events if isinstance(event, StepFinished) and event.mfu is not None]),
        ledger=_ledger_head(events),
        evaluations=_evaluations(events),
        **first,
        faults=faults,
        checkpoint_verified=_verified(events),
        goodput=book.goodput,
        goodput_reserved=book.goodput_reserved,
        wall_seconds=book.wall / SECOND,
        seconds_by_class={activity.value: time / SECOND for activity, time in sorted(book.by_activity().items())},
    )


def losses_by_step(events: Sequence[AnyEvent]) -> dict[int, float]:
    """The loss of each step; of a step that was done again, the later one."""
    return {e.step: e.loss for e in events if isinstance(e, StepFinished) and e.loss is not None}


def _tokens_per_second(events: Sequence[AnyEvent]) -> float | None:
    """Of the median step as the nodes tell it, with its waiting for data and checkpoints."""
    return _median([event.tokens / event.seconds for event in events if isinstance(event, StepFinished)])


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _ledger_head(events: Sequence[AnyEvent]) -> str | None:
    consumed = [event for event in events if isinstance(event, DataConsumed)]
    return max(consumed, key=lambda event: event.step).head if consumed else None


def _evaluations(events: Sequence[AnyEvent]) -> tuple[EvaluationFigures, ...]:
    """Of a step that was evaluated again, the later one."""
    found = {event.step: event for event in events if isinstance(event, EvaluationFinished)}
    return tuple(
        EvaluationFigures(step=e.step, loss=e.loss, bits_per_byte=e.bits_per_byte, tasks=e.tasks)
        for _, e in sorted(found.items())
    )


def _fault(recovery: Recovery) -> Fault:
    return Fault.model_validate({name: getattr(recovery, name) for name in Fault.model_fields})


def _verified(events: Sequence[AnyEvent]) -> bool | None:
    if any(isinstance(event, CheckpointVerified) for event in events):
        return True
    return False if any(isinstance(event, CheckpointRejected) for event in events) else None
