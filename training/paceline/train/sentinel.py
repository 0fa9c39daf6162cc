"""The corruption sentinel in the loop: asks for testimonies, has suspicious steps taken again, ends the generation on
a conviction. What it decides is in supervise/sentinel.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from paceline.engines.base import Engine, MicroBatch, StepOut, Watch
from paceline.engines.watch import read
from paceline.journal.writer import Journal
from paceline.plan.layout import Layout
from paceline.recipe.watch import SentinelChoice
from paceline.spec.events import CorruptionJudged, SentinelPaced
from paceline.supervise.anomaly import AnomalyRule
from paceline.supervise.protocol import Corruption, CorruptionFound
from paceline.supervise.sentinel import Judgement, Testimonies, judge_state, judge_work, partner, suspect_work
from paceline.train.watch_cadence import WatchCadence

Subject = Literal["state", "work"]
Outcome = Literal["convicted", "reproduced", "irreproducible", "unexamined"]
Passes = Callable[[int, int], Sequence[MicroBatch]]
"""The passes of a step, counted from 0, of a data rank."""


class Reload(Protocol):
    def __call__(self, step: int) -> bool:
        """Put the state of the snapshot after `step` back; False if there is none."""
        ...


class Sentinel:
    """One rank's part. All ranks see the same testimonies and figures, so they decide the same at the same step.

    `verified` is the newest step whose state was found right: what a generation starts from need not have been, if it
    comes from memory.
    """

    def __init__(
        self,
        choice: SentinelChoice,
        engine: Engine,
        layout: Layout,
        *,
        rank: int,
        verified: int,
        passes: Passes,
        reload: Reload,
        journal: Journal,
    ) -> None:
        self._choice = choice
        self._engine = engine
        self._layout = layout
        self._rank = rank
        self._passes = passes
        self._reload = reload
        self._journal = journal
        self._rules = (AnomalyRule("loss"), AnomalyRule("gradient norm"))
        # the stages of a pipeline, and ranks that share experts, do nothing that another one could do again alone
        self._can_replay = layout.pp == layout.ep == 1
        self._recomputes = self._can_replay and bool(choice.recompute_every)
        self._cadence = WatchCadence(choice, layout.world_size)
        self._first = 0
        self._sealed: int | None = None
        self.verified = verified

    @property
    def costs(self) -> tuple[int, int]:
        """What this rank adds to the sums of the next step, for all to keep the same cadence."""
        return self._cadence.costs

    def begin(self, step: int) -> None:
        """A generation starts from the state after `step`."""
        self._first = step

    def watch(self, step: int) -> Watch | None:
        """What to ask of the engine about the step after `step` steps."""
        # the first step of a generation need not have a snapshot from which it could be taken again
        recompute = self._recomputes and step > self._first and step % self._choice.recompute_every == 0
        if self._sealed != step:
            if step % self._cadence.every and not recompute:
                return None
            self._seal(step)
        return self._asking(step, (1,) if recompute else ())

    def accept(self, step: int, out: StepOut, again: Callable[[Watch], StepOut], costs: Sequence[int]) -> StepOut:
        """The step after `step` steps gave `out`: this, or what it gives when it is taken `again`, if that is right.

        `costs` are the sums over all ranks of theirs. Raises CorruptionFound where it is not right.
        """
        suspicion = self._anomaly(out)
        if out.testimonies is not None:
            first = read(out.testimonies)
            if (wrong := judge_state(first, self._layout)) is not None:
                raise self._found("state", step, wrong.reason, wrong)
            self.verified = step
            suspicion = suspect_work(first, self._layout) or suspicion
            if suspicion is not None and self._can_replay:
                out = self._replay(step, first, suspicion, again) or out
        self._pace(costs)
        if (step + 1) % self._cadence.every == 0:
            self._seal(step + 1)
        return out

    def guard(self, step: int) -> None:
        """The state after `step` is to become durable, for which it must be found right: check it, whatever the
        cadence."""
        if self._sealed != step:
            self._seal(step)

    def end(self, step: int) -> None:
        """No step follows `step`: its state was copied out; whether it was still right then."""
        if self._sealed == step and self._engine.altered():
            reason = f"rank {self._rank}: parameters or optimizer state changed after the last update"
            raise self._found("state", step, reason, Judgement(outcome="convicted", ranks=(self._rank,), reason=reason))
        self.verified = step

    def _replay(
        self, step: int, first: Testimonies, suspicion: str, again: Callable[[Watch], StepOut]
    ) -> StepOut | None:
        if not self._reload(step):
            self._tell("work", step, suspicion, "unexamined", "no snapshot holds the state before it")
            return None
        out = again(self._asking(step, (1, 2) if self._layout.data_ranks > 2 else (1,)))
        assert out.testimonies is not None
        judgement = judge_work(first, read(out.testimonies), self._layout)
        if judgement.outcome == "convicted":
            raise self._found("work", step, suspicion, judgement)
        self._recomputes = self._recomputes and judgement.outcome != "irreproducible"
        self._tell("work", step, suspicion, judgement.outcome, judgement.reason)
        return out

    def _anomaly(self, out: StepOut) -> str | None:
        if not self._choice.anomalies:
            return None
        figures = (out.loss.result(), out.gradient_norm.result())
        found = [rule.suspicion(figure) for rule, figure in zip(self._rules, figures, strict=True)]
        return next((why for why in found if why is not None), None)

    def _asking(self, step: int, distances: Sequence[int]) -> Watch:
        owners = [partner(self._layout, self._rank, distance) for distance in distances]
        return Watch(recompute=tuple(self._passes(step, self._layout.data_rank(owner)) for owner in owners))

    def _pace(self, costs: Sequence[int]) -> None:
        before = self._cadence.every
        found = self._cadence.step_done(costs)
        if found is not None and self._rank == 0:
            self._journal.emit(
                SentinelPaced, before=before, after=self._cadence.every, check_seconds=found[0], step_seconds=found[1]
            )

    def _seal(self, step: int) -> None:
        self._cadence.seal(self._engine)
        self._sealed = step

    def _found(self, subject: Subject, step: int, suspicion: str, wrong: Judgement) -> CorruptionFound:
        return CorruptionFound(
            Corruption(
                step=step + 1,
                subject=subject,
                suspicion=suspicion,
                ranks=wrong.ranks,
                good_step=self.verified,
                reason=f"step {step + 1}: {wrong.reason}",
            )
        )

    def _tell(self, subject: Subject, step: int, suspicion: str, outcome: Outcome, reason: str) -> None:
        """Of what the run goes on after; the coordinator tells of the rest."""
        if self._rank == 0:
            self._journal.emit(
                CorruptionJudged,
                step=step + 1,
                subject=subject,
                suspicion=suspicion,
                outcome=outcome,
                reason=reason,
                good_step=self.verified,
            )
