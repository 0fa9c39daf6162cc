"""How often a run makes its state durable, if its recipe leaves that to what is measured (plan/cadence.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from paceline.catalog.failure_rates import failure_rates
from paceline.journal.writer import Journal
from paceline.plan.cadence import failures_per_second, interval, steps_between
from paceline.recipe.schema import Checkpointing
from paceline.spec.events import AnyEvent, CadenceChanged
from paceline.supervise.headway import workers_of
from paceline.supervise.membership import NodeView
from paceline.supervise.protocol import Assignment, RankProgress

_WORTHWHILE = 1.25  # near its optimum the interval hardly matters: a smaller change is not worth a word
_AT_MOST_MORE = 16  # checkpoints until the next look: storage may have become slower


class PersistCadence:
    """Steps between durable checkpoints: `told` to the workers, None where the recipe fixes it."""

    def __init__(self, choice: Checkpointing, journal: Journal) -> None:
        self._now = choice.persist_every
        self._is_derived = choice.cadence == "auto"
        self._rate = failure_rates().rates[choice.failures]
        self._journal = journal
        self._looked = (-1, 0)

    @property
    def told(self) -> int | None:
        return self._now if self._is_derived else None

    def recall(self, told: Iterable[AnyEvent]) -> None:
        """Take over what a predecessor told."""
        self._now = next((e.after for e in reversed(list(told)) if isinstance(e, CadenceChanged)), self._now)

    def look(self, assignment: Assignment, views: Mapping[str, NodeView]) -> None:
        """Take note of what the members of a generation that is well report, and decide: after its first durable
        checkpoint, and then when there are twice as many, for a few say little."""
        if not self._is_derived:
            return
        statuses = [views[member.node].status for member in assignment.members if member.node in views]
        ranks = [rank for workers in workers_of(assignment, views) for rank in workers.ranks]
        uploads = [status.persist_seconds for status in statuses if status.persist_seconds is not None]
        if len(uploads) < len(assignment.members) or len(ranks) < assignment.world_size:
            return
        generation, saved = assignment.generation, min(rank.work.persisted for rank in ranks)
        before = self._looked[1] if self._looked[0] == generation else 0
        if saved < max(1, min(2 * before, before + _AT_MOST_MORE)):
            return
        self._looked = (generation, saved)
        per_second = failures_per_second(assignment.world_size, self._rate)
        step, stall = max(r.work.seconds / r.work.steps for r in ranks), _stall(ranks)
        steps = steps_between(interval(stall, max(uploads), per_second), step)
        if max(steps, self._now) < _WORTHWHILE * min(steps, self._now):
            return
        self._journal.emit(
            CadenceChanged,
            before=self._now,
            after=steps,
            stall_seconds=stall,
            absorb_seconds=max(uploads),
            step_seconds=step,
            failures_per_day=per_second * 86400,
        )
        self._now = steps


def _stall(ranks: Sequence[RankProgress]) -> float:
    """What a durable checkpoint adds to the stall of the snapshot that it is made of: of the rank that all wait for."""
    added = [
        rank.work.persist_stall_seconds / rank.work.persisted
        - rank.work.stall_seconds / max(1, rank.work.steps - rank.work.persisted)
        for rank in ranks
    ]
    return max(0.0, *added)
