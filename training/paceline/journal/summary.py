"""A run in figures: what `summary.json` holds."""

from __future__ import annotations

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
    DatasetPrepared,
    RunFinished,
    StackDeployed,
    StepFinished,
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


class Summary(Record):
    """The run in figures. Losses and entropy are in nats per token.

    The keys about a fault tell of the first one and are null in a run without one; `faults` tells of all. `goodput`
    counts the nodes that the run needs, `goodput_reserved` its spares too. `nodes` are all that took part or stood by,
    `spares` included; `seconds_by_class` adds up to `wall_seconds` times `nodes`. `checkpoint_verified` is null when
    no checkpoint was verified or refused.
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


def _fault(recovery: Recovery) -> Fault:
    return Fault.model_validate({name: getattr(recovery, name) for name in Fault.model_fields})


def _verified(events: Sequence[AnyEvent]) -> bool | None:
    if any(isinstance(event, CheckpointVerified) for event in events):
        return True
    return False if any(isinstance(event, CheckpointRejected) for event in events) else None
