"""Which steps are computed again to prove one step of a run, from where, and what they must give.

The bits of a step depend on the state before it, and on how many ranks shared the batch. So a replay begins at the
nearest checkpoint and takes every step from there on, in a world of the same size. What was restarted on the way, or
restored from memory, does not matter: neither changes a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from paceline.checkpoint.repository import CheckpointRepository
from paceline.spec.errors import CheckpointError, JournalError
from paceline.spec.events import AnyEvent, DataConsumed, GenerationOpened, SnapshotTaken, StepFinished
from paceline.spec.hermetic import HermeticManifest


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBits:
    """What a journal says of one step, and must say again. `state` is by rank: the digest of its snapshot after the
    step, over parameters, optimizer and trainer state. None and absent: nobody lived to write it down."""

    generation: int
    loss: float | None = None
    gradient_norm: float | None = None
    learning_rate: float | None = None
    batch: str | None = None
    ledger: str | None = None
    state: dict[int, str] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """By name, without those that are not known."""
        named = {
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "learning_rate": self.learning_rate,
            "batch": self.batch,
            "ledger": self.ledger,
            **{f"state of rank {rank}": digest for rank, digest in sorted(self.state.items())},
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first figure of a step that came out otherwise."""

    step: int
    figure: str
    recorded: float | str
    replayed: float | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Steps `start` + 1 to `step` on `nodes` nodes of as many ranks as before. `recorded` has each of them."""

    manifest: HermeticManifest
    start: int
    step: int
    nodes: int
    recorded: dict[int, StepBits]

    def is_answered(self, replayed: dict[int, StepBits]) -> bool:
        """Whether `replayed` has every figure that is recorded of the last step."""
        last = replayed.get(self.step)
        return last is not None and self.recorded[self.step].figures().keys() <= last.figures().keys()

    def difference(self, replayed: dict[int, StepBits]) -> Difference | None:
        """The first one; None when every figure of every step has the same bits."""
        for step in range(self.start + 1, self.step + 1):
            again = replayed[step].figures()
            for figure, value in self.recorded[step].figures().items():
                if figure in again and again[figure] != value:
                    return Difference(step=step, figure=figure, recorded=value, replayed=again[figure])
        return None


def note(found: dict[int, StepBits], event: AnyEvent) -> None:
    """Add to `found`, by step, what `event` says. Of a step that was taken again after a rollback, what the last
    generation says remains: it is what stayed."""
    if not isinstance(event, (StepFinished, DataConsumed, SnapshotTaken)) or event.generation is None:
        return
    step = event.step + isinstance(event, DataConsumed)  # it counts from 0
    known = found.get(step)
    if known is None or known.generation < event.generation:
        known = StepBits(generation=event.generation)
    if known.generation == event.generation:
        found[step] = _with(known, event)


def plan(
    parts: Sequence[HermeticManifest], events: Sequence[AnyEvent], repository: CheckpointRepository, step: int
) -> Plan:
    """How to compute `step` of a run again. JournalError says why that cannot be done."""
    found: dict[int, StepBits] = {}
    for event in events:
        note(found, event)
    recorded = {number: known for number, known in found.items() if known.learning_rate is not None}
    if step not in recorded:
        taken = f"steps {min(recorded)} to {max(recorded)}" if recorded else "no step"
        raise JournalError(f"step {step}: the run's journal does not record it", f"it records {taken}")
    start = _nearest(repository, step)
    steps = range(start + 1, step + 1)
    if missing := [number for number in steps if number not in recorded]:
        raise JournalError(
            f"step {step}: its replay begins after step {start}, and the journal does not record step {missing[0]}",
            "restore the journals of all nodes, or replay a step after a later checkpoint",
        )
    worlds = {e.generation: (len(e.ranks), e.world_size) for e in events if isinstance(e, GenerationOpened)}
    last = recorded[step].generation
    for number in steps:
        if worlds[recorded[number].generation][1] != worlds[last][1]:
            raise JournalError(
                f"step {step}: was trained by {worlds[last][1]} ranks, step {number} by"
                f" {worlds[recorded[number].generation][1]}, and the nearest checkpoint is of step {start}",
                "replay a step that has a checkpoint since the world changed",
            )
    manifest = _part(parts, last)
    if other := next((n for n in steps if _part(parts, recorded[n].generation).job.recipe != manifest.job.recipe), 0):
        raise JournalError(
            f"step {step}: was trained with another recipe than step {other}, and the nearest checkpoint is of step"
            f" {start}",
            "replay a step that has a checkpoint since the recipe changed",
        )
    return Plan(
        manifest=manifest,
        start=start,
        step=step,
        nodes=worlds[last][0],
        recorded={number: recorded[number] for number in steps},
    )


def _with(known: StepBits, event: StepFinished | DataConsumed | SnapshotTaken) -> StepBits:
    if isinstance(event, StepFinished):
        return replace(known, loss=event.loss, gradient_norm=event.gradient_norm, learning_rate=event.learning_rate)
    if isinstance(event, DataConsumed):
        return replace(known, batch=event.digest, ledger=event.head)
    return replace(known, state={**known.state, event.rank or 0: event.digest})


def _nearest(repository: CheckpointRepository, step: int) -> int:
    """The newest checkpoint before `step` of which every byte verifies; 0, where parameters are those of the seed."""
    for saved in repository.steps():
        if saved < step:
            try:
                repository.verify(saved)
            except CheckpointError:
                continue
            return saved
    return 0


def _part(parts: Sequence[HermeticManifest], generation: int) -> HermeticManifest:
    found = [part for part in parts if part.job.first_generation <= generation]
    if not found:
        raise JournalError(
            f"generation {generation}: no hermetic manifest says what it stood on", "restore it from a copy"
        )
    return found[-1]
