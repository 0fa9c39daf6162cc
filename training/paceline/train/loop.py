"""The training loop, once for every engine: data, schedule, ledger, snapshots, events, stopping.

The order of one step, and why nothing is ever lost: while the ranks compute step s+1, the snapshot of s is copied out
of their memory and to a buddy. `fence` waits for both before the engine's all-reduce, and no rank updates before all
have passed it. So whenever any rank has finished s+1, every rank's s exists twice, and a fault costs at most one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from paceline.checkpoint.snapshot import Snapshotter
from paceline.data.ledger import WORDS, advance, as_int64, digest_hex, from_int64
from paceline.data.loader import Loader
from paceline.engines.base import Engine, StepOut, Watch
from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.events import Activity, DataConsumed, PhaseChanged, StepFinished
from paceline.spec.manifest import TrainerState
from paceline.supervise.progress import Phase, Progress
from paceline.supervise.protocol import Work
from paceline.train.callbacks import Callback, StepFigures
from paceline.train.schedule import learning_rate
from paceline.train.sentinel import Sentinel


class Supervision(Protocol):
    """What the loop needs of whoever supervises it."""

    progress: Progress

    @property
    def stop_requested(self) -> bool: ...

    @property
    def persist_every(self) -> int | None: ...

    def wait_until_safe(self, step: int) -> None: ...

    def step_done(self, step: int, *, verified: int) -> None: ...


class Evaluator(Protocol):
    """What judges the state between steps (evaluation.py)."""

    def begin(self, trainer: TrainerState) -> None: ...

    def is_due(self, step: int) -> bool: ...

    def after_step(self, trainer: TrainerState) -> TrainerState: ...


class TrainingLoop:
    """One rank's way through the steps of a recipe. `speaks` is the rank that writes its node's step events;
    `utilisation` gives the MFU of a step of so many seconds."""

    def __init__(
        self,
        *,
        recipe: Recipe,
        engine: Engine,
        loader: Loader,
        snapshots: Snapshotter,
        supervision: Supervision,
        journal: Journal,
        rank: int,
        speaks: bool,
        callbacks: Sequence[Callback] = (),
        evaluation: Evaluator | None = None,
        sentinel: Sentinel | None = None,
        utilisation: Callable[[float], float | None] = lambda seconds: None,
    ) -> None:
        self._recipe = recipe
        self._engine = engine
        self._loader = loader
        self._snapshots = snapshots
        self._supervision = supervision
        self._journal = journal
        self._rank = rank
        self._speaks = speaks
        self._callbacks = callbacks
        self._evaluation = evaluation
        self._sentinel = sentinel
        self._utilisation = utilisation
        self._snapshot_step: int | None = None
        self._persist_every = recipe.checkpoint.persist_every
        self._was_persisted = False
        self._stall_seconds = 0.0

    def run(self, trainer: TrainerState, *, from_memory: bool, resharded: bool = False) -> bool:
        """Train from `trainer` to the end of the schedule; True when it was asked to stop before.

        Every rank stops after the same step, and all persist and check the same ones: the wish to stop, how often rank
        0 was told to persist, and what checks cost, are summed with the step's totals. With `from_memory` the state is
        that of a snapshot which is being copied to a buddy, and nothing says that it is durable; `resharded` says that
        the snapshot is of another world, so that this one must begin with its own.
        """
        if self._speaks:
            self._journal.emit(PhaseChanged, activity=Activity.PRODUCTIVE)
        stopped = False
        if from_memory:
            self._snapshot_step = trainer.step
            over = trainer.step == self._recipe.schedule.steps  # a fault took the last checkpoint on its way
            if over or resharded:
                self._snapshots.begin(trainer, persist=over)
        if self._sentinel is not None:
            self._sentinel.begin(trainer.step)
        for callback in self._callbacks:
            callback.begin(trainer)
        if self._evaluation is not None:
            self._evaluation.begin(trainer)
        started = time.perf_counter()
        while trainer.step < self._recipe.schedule.steps and not stopped:
            trainer, stopped, started = self._step(trainer, started)
        self._snapshots.wait()
        if self._sentinel is not None:
            self._sentinel.end(trainer.step)
        for callback in self._callbacks:
            callback.end(trainer)
        self._supervision.progress.write(step=trainer.step, phase=Phase.DONE)
        return stopped and trainer.step < self._recipe.schedule.steps

    def _step(self, trainer: TrainerState, started: float) -> tuple[TrainerState, bool, float]:
        recipe, step = self._recipe, trainer.step
        for callback in self._callbacks:
            callback.before_step(trainer)
        self._supervision.progress.write(step=step, phase=Phase.DATA)
        batch = self._loader.step(step)
        data_seconds = time.perf_counter() - started
        rate = learning_rate(recipe.schedule, recipe.optimizer.learning_rate, step)
        told = self._supervision.persist_every if self._rank == 0 else None
        costs = (0, 0) if self._sentinel is None else self._sentinel.costs
        wish = np.array([int(self._supervision.stop_requested), told or 0, *costs], dtype=np.int64)

        def take(watch: Watch | None) -> StepOut:
            self._supervision.progress.write(step=step, phase=Phase.FORWARD_BACKWARD)
            return self._engine.train_step(
                batch.microbatches,
                learning_rate=rate,
                totals=np.concatenate([as_int64(batch.digest), wish]),
                before_update=lambda: self._fence(step),
                watch=watch,
            )

        if self._sentinel is None:
            out = take(None)
        else:
            out = take(self._sentinel.watch(step))
            out = self._sentinel.accept(step, out, again=take, costs=out.totals[WORDS + 2 :].tolist())
        digest, stop = from_int64(out.totals[:WORDS]), bool(out.totals[WORDS])
        self._persist_every = int(out.totals[WORDS + 1]) or self._persist_every
        trainer = TrainerState(
            step=step + 1,
            tokens=trainer.tokens + recipe.batch.tokens,
            next_index=batch.first_index + batch.count,
            ledger=advance(trainer.ledger, step=step, first_index=batch.first_index, count=batch.count, digest=digest),
        )
        last, waited_for_durable = stop or trainer.step == recipe.schedule.steps, self._was_persisted
        evaluation = self._evaluation_after(trainer.step)
        if evaluation is None:
            self._save(trainer, last=last)  # before anybody waits for the figures of the step
        loss, gradient_norm = out.loss.result(), out.gradient_norm.result()
        own = out.compute_seconds.result() if out.compute_seconds is not None else 0.0
        if self._rank == 0:
            self._journal.emit(
                DataConsumed,
                step=step,
                first_index=batch.first_index,
                count=batch.count,
                digest=digest_hex(digest),
                head=trainer.ledger,
            )
        finished = time.perf_counter()
        self._supervision.progress.add_work(
            Work(
                steps=1,
                seconds=finished - started,
                data_seconds=data_seconds,
                compute_seconds=own,
                stall_seconds=0.0 if waited_for_durable else self._stall_seconds,
                persisted=int(waited_for_durable),
                persist_stall_seconds=self._stall_seconds if waited_for_durable else 0.0,
            )
        )
        if self._speaks:
            self._journal.emit(
                StepFinished,
                step=trainer.step,
                loss=loss,
                tokens=recipe.batch.tokens,
                learning_rate=rate,
                gradient_norm=gradient_norm,
                seconds=finished - started,
                data_seconds=data_seconds,
                checkpoint_seconds=self._stall_seconds,
                mfu=self._utilisation(finished - started),
                memory_bytes=self._engine.device().peak_memory_bytes,
                metrics={name: metric.result() for name, metric in out.metrics.items()},
            )
        aside = time.perf_counter()
        if evaluation is not None:
            trainer = evaluation.after_step(trainer)  # before its snapshot, which then tells of it
            self._save(trainer, last=last)
        if self._callbacks:
            figures = StepFigures(
                loss=loss,
                gradient_norm=gradient_norm,
                learning_rate=rate,
                tokens=recipe.batch.tokens,
                seconds=finished - started,
                data_seconds=data_seconds,
            )
            for callback in self._callbacks:
                callback.after_step(trainer, figures)
        return trainer, stop, finished + time.perf_counter() - aside

    def _evaluation_after(self, step: int) -> Evaluator | None:
        is_due = self._evaluation is not None and self._evaluation.is_due(step)
        return self._evaluation if is_due else None

    def _save(self, trainer: TrainerState, *, last: bool) -> None:
        """Begin the snapshot of a step that is done, and say so."""
        keep = self._recipe.checkpoint
        is_evaluated = keep.keep_best > 0 and trainer.held_out_loss is not None
        self._was_persisted = last or is_evaluated or trainer.step % self._persist_every == 0
        self._snapshots.begin(trainer, persist=self._was_persisted)
        self._snapshot_step = trainer.step
        if self._was_persisted and self._sentinel is not None:
            self._sentinel.guard(trainer.step)
        verified = trainer.step if self._sentinel is None else self._sentinel.verified
        self._supervision.step_done(trainer.step, verified=verified)

    def _fence(self, step: int) -> None:
        """Before tensors change: the last snapshot is copied out of them, and has its second copy."""
        self._supervision.progress.write(step=step, phase=Phase.FENCE)
        started = time.perf_counter()
        self._snapshots.wait()
        if self._snapshot_step is not None:
            self._supervision.wait_until_safe(self._snapshot_step)
        self._stall_seconds = time.perf_counter() - started
        self._supervision.progress.write(step=step, phase=Phase.UPDATE)
