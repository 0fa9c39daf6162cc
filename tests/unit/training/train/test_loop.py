"""The training loop around an engine, a loader and snapshots that only keep a diary."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.data.ledger import WORDS, advance, genesis
from paceline.engines.base import Device, StepOut
from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.events import AnyEvent, DataConsumed, StepFinished
from paceline.spec.manifest import TrainerState
from paceline.supervise.progress import Phase, Progress
from paceline.train.callbacks import Callback, StepFigures
from paceline.train.loop import Evaluator, TrainingLoop

GENESIS = genesis(dataset_sha256="d" * 64, seed=0, sequence_length=8)
COUNT = 4


@dataclass(frozen=True)
class Number:
    value: float

    def result(self) -> float:
        return self.value


@dataclass(frozen=True)
class Batch:
    microbatches: list[Any]
    first_index: int
    count: int
    digest: np.ndarray[Any, np.dtype[np.uint64]]


class World:
    """Everything the loop talks to; `diary` is the order in which it did."""

    def __init__(self, directory: Path, steps: int = 6, persist_every: int = 4, keep_best: int = 0) -> None:
        self.diary: list[str] = []
        self.told_before: dict[int, int] = {}
        self.persisted: list[int] = []
        self.losses: dict[int, float | None] = {}
        self.progress = Progress(os.memfd_create("test-progress"))
        self.stop_at: int | None = None
        self.peers_wish_at: int | None = None
        self.persist_every: int | None = None
        self.journal = Journal(directory, run="test", producer="rank-0", node="node-0", rank=0)
        self.directory = directory
        self.recipe = Recipe.model_validate(
            {
                "name": "test",
                "description": "test",
                "model": {"preset": "debug"},
                "data": {"sequence_length": 8},
                "batch": {"tokens": 8 * COUNT, "micro_sequences": 1},
                "optimizer": {"learning_rate": 0.1},
                "schedule": {"steps": steps},
                "checkpoint": {"persist_every": persist_every, "keep_best": keep_best},
                "evaluation": {"every": 3},
            }
        )
        self._at = 0

    def train(
        self,
        start: int = 0,
        *,
        from_memory: bool = False,
        rank: int = 0,
        speaks: bool = True,
        callbacks: Sequence[Callback] = (),
        evaluation: Evaluator | None = None,
        sentinel: Any = None,
    ) -> bool:
        loop = TrainingLoop(
            recipe=self.recipe,
            engine=self,  # type: ignore[arg-type]
            loader=self,  # type: ignore[arg-type]
            snapshots=self,  # type: ignore[arg-type]
            supervision=self,
            journal=self.journal,
            rank=rank,
            speaks=speaks,
            callbacks=callbacks,
            evaluation=evaluation,
            sentinel=sentinel,
            utilisation=lambda seconds: 0.5,
        )
        state = TrainerState(step=start, tokens=start * 8 * COUNT, next_index=start * COUNT, ledger=GENESIS)
        return loop.run(state, from_memory=from_memory)

    def events(self) -> list[AnyEvent]:
        return Follower(self.directory).poll()

    # the loader
    def step(self, step: int) -> Batch:
        self._at = step
        return Batch([], step * COUNT, COUNT, np.full(WORDS, step + 1, dtype=np.uint64))

    # the engine
    def train_step(
        self, microbatches: Any, *, learning_rate: float, totals: Any, before_update: Any, watch: Any
    ) -> StepOut:
        self.diary.append(f"compute {self._at + 1}")
        before_update()
        self.diary.append(f"update {self._at + 1}")
        summed = totals.copy()
        summed[WORDS] += int(self.peers_wish_at == self._at)
        return StepOut(loss=Number(1.0 / (self._at + 1)), gradient_norm=Number(2.0), totals=summed)

    def device(self) -> Device:
        return Device(name="cpu", peak_memory_bytes=1 << 20)

    # the snapshots
    def begin(self, trainer: TrainerState, *, persist: bool) -> None:
        self.diary.append(f"snapshot {trainer.step}")
        self.told_before[trainer.step] = max((e.step for e in self.events() if isinstance(e, StepFinished)), default=0)
        self.persisted += [trainer.step] if persist else []
        self.ledger = trainer.ledger
        self.losses[trainer.step] = trainer.held_out_loss

    def wait(self) -> None:
        self.diary.append("copied")

    # the supervisor
    @property
    def stop_requested(self) -> bool:
        return self.stop_at is not None and self._at >= self.stop_at

    def wait_until_safe(self, step: int) -> None:
        self.diary.append(f"safe {step}")

    def step_done(self, step: int, *, verified: int) -> None:
        self.diary.append(f"done {step}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_no_tensor_changes_before_the_last_snapshot_is_copied_and_safe(tmp_path: Path) -> None:
    world = World(tmp_path, steps=2)
    assert world.train() is False
    assert world.diary == [
        *("compute 1", "copied", "update 1", "snapshot 1", "done 1"),
        *("compute 2", "copied", "safe 1", "update 2", "snapshot 2", "done 2"),
        "copied",
    ]
    assert world.progress.read().phase is Phase.DONE


def test_the_first_step_after_a_restore_from_memory_waits_for_the_second_copy_of_it(world: World) -> None:
    world.train(start=4, from_memory=True)
    assert world.diary[:4] == ["compute 5", "copied", "safe 4", "update 5"]


def test_a_restore_from_anywhere_else_has_nothing_to_wait_for(world: World) -> None:
    world.train(start=4)
    assert world.diary[:3] == ["compute 5", "copied", "update 5"]


def test_it_persists_at_the_cadence_and_at_the_end(world: World) -> None:
    world.train()
    assert world.persisted == [4, 6]


class Guard:
    """A sentinel that finds nothing."""

    def __init__(self) -> None:
        self.verified = 0
        self.costs = (0, 0)
        self.guarded: list[int] = []
        self.heard: list[list[int]] = []

    def begin(self, step: int) -> None:
        self.verified = step

    def watch(self, step: int) -> None:
        self.costs = (step, 100)

    def accept(self, step: int, out: StepOut, again: Any, costs: list[int]) -> StepOut:
        self.heard.append(costs)
        return out

    def guard(self, step: int) -> None:
        self.guarded.append(step)

    def end(self, step: int) -> None:
        self.verified = step


def test_what_is_persisted_is_guarded_and_what_checks_cost_is_summed(world: World) -> None:
    guard = Guard()
    world.train(sentinel=guard)
    assert guard.guarded == world.persisted == [4, 6]
    assert guard.heard == [[0, 0], *([step, 100] for step in range(5))], "as it was when the step began"


def test_it_persists_as_often_as_rank_0_is_told_from_that_step_on(world: World) -> None:
    world.persist_every = 3
    world.train()
    assert world.persisted == [3, 6]


def test_what_another_rank_is_told_counts_only_through_the_sum(world: World) -> None:
    """Rank 1 heard of 3, but rank 0 has not yet: nobody persists step 3."""
    world.persist_every = 3
    world.train(rank=1)
    assert world.persisted == [4, 6]


def test_the_stalls_of_snapshots_that_are_persisted_are_counted_apart(world: World) -> None:
    world.train()
    work = world.progress.read().work
    assert (work.steps, work.persisted) == (6, 1)  # the fence of step 5 waited for the persisted snapshot of 4
    assert 0 < work.stall_seconds + work.persist_stall_seconds < work.seconds


def test_a_fault_after_the_last_step_still_saves_it(world: World) -> None:
    assert world.train(start=6, from_memory=True) is False
    assert (world.persisted, world.diary) == ([6], ["snapshot 6", "copied"])


def test_a_finished_run_that_is_resumed_from_its_checkpoint_does_nothing(world: World) -> None:
    assert world.train(start=6) is False
    assert world.diary == ["copied"]


def test_it_stops_after_the_step_in_which_it_was_asked_and_persists_it(world: World) -> None:
    world.stop_at = 2
    assert world.train() is True
    assert world.persisted == [3]
    assert world.diary[-2:] == ["done 3", "copied"]


def test_every_rank_stops_when_any_wishes_to(world: World) -> None:
    world.peers_wish_at = 1
    assert world.train() is True
    assert world.persisted == [2]


def test_a_wish_to_stop_in_the_last_step_is_no_stop(world: World) -> None:
    world.stop_at = 5
    assert world.train() is False


def test_the_ledger_and_the_events_tell_what_was_consumed(world: World) -> None:
    world.train()
    head = GENESIS
    for step in range(6):
        digest = np.full(WORDS, step + 1, dtype=np.uint64)
        head = advance(head, step=step, first_index=step * COUNT, count=COUNT, digest=digest)
    assert world.ledger == head
    consumed = [e for e in world.events() if isinstance(e, DataConsumed)]
    assert [(e.step, e.first_index) for e in consumed] == [(step, step * COUNT) for step in range(6)]
    assert consumed[-1].head == head
    finished = [e for e in world.events() if isinstance(e, StepFinished)]
    assert [(e.step, e.loss) for e in finished] == [(step, 1.0 / step) for step in range(1, 7)]


@pytest.mark.parametrize(("rank", "speaks", "kinds"), [(1, True, {StepFinished}), (1, False, set())])
def test_who_is_not_rank_0_tells_nothing_of_the_data(world: World, rank: int, speaks: bool, kinds: set[type]) -> None:
    world.train(rank=rank, speaks=speaks)
    assert {type(e) for e in world.events()} & {StepFinished, DataConsumed} == kinds


def test_a_copy_that_failed_ends_the_step_before_the_update(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed() -> None:
        raise OSError("no memory")

    monkeypatch.setattr(world, "wait", failed)
    with pytest.raises(OSError, match="no memory"):
        world.train()
    assert world.diary == ["compute 1"]


class Judge:
    """Evaluates every third step, unless it is to end at `fatal`."""

    def __init__(self, world: World, fatal: int | None = None) -> None:
        self._world = world
        self._fatal = fatal

    def begin(self, trainer: TrainerState) -> None:
        self._world.diary.append(f"judge begins at {trainer.step}")

    def is_due(self, step: int) -> bool:
        return step % 3 == 0

    def after_step(self, trainer: TrainerState) -> TrainerState:
        if trainer.step == self._fatal:
            raise OSError("killed")
        self._world.diary.append(f"judge {trainer.step}")
        return trainer.model_copy(update={"held_out_loss": 1.0 / trainer.step})


def test_a_state_is_evaluated_before_its_snapshot_which_tells_of_it(world: World) -> None:
    world.train(evaluation=Judge(world))
    assert world.losses == {1: None, 2: None, 3: 1 / 3, 4: None, 5: None, 6: 1 / 6}
    assert world.diary[0] == "judge begins at 0"
    assert world.diary[world.diary.index("update 3") :][1:4] == ["judge 3", "snapshot 3", "done 3"]
    assert world.persisted == [4, 6]


def test_a_step_is_told_when_its_snapshot_has_begun_unless_that_waits_for_an_evaluation(world: World) -> None:
    world.train(evaluation=Judge(world))
    assert world.told_before == {1: 0, 2: 1, 3: 3, 4: 3, 5: 4, 6: 6}


def test_a_fault_during_an_evaluation_leaves_no_state_that_was_not_evaluated(tmp_path: Path) -> None:
    """The run goes back to step 2, takes step 3 again and evaluates it: its loss is not lost to the manifest."""
    world = World(tmp_path, keep_best=1)
    with pytest.raises(OSError, match="killed"):
        world.train(evaluation=Judge(world, fatal=3))
    assert (max(world.losses), world.persisted) == (2, [])
    world.train(start=2, from_memory=True, evaluation=Judge(world))
    assert world.losses[3] == 1 / 3 and world.persisted == [3, 4, 6]


def test_every_evaluated_state_is_persisted_when_the_best_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path, persist_every=100, keep_best=2)
    world.train(evaluation=Judge(world))
    assert world.persisted == [3, 6]


class Diary(Callback):
    def __init__(self, diary: list[str]) -> None:
        self._diary = diary

    def begin(self, trainer: TrainerState) -> None:
        self._diary.append(f"begin {trainer.step}")

    def before_step(self, trainer: TrainerState) -> None:
        self._diary.append(f"before {trainer.step + 1}")

    def after_step(self, trainer: TrainerState, figures: StepFigures) -> None:
        assert (figures.loss, figures.tokens) == (1.0 / trainer.step, 8 * COUNT)
        self._diary.append(f"after {trainer.step}")

    def end(self, trainer: TrainerState) -> None:
        self._diary.append(f"end {trainer.step}")


def test_callbacks_are_called_around_every_step(tmp_path: Path) -> None:
    world = World(tmp_path, steps=4)
    calls: list[str] = []
    world.train(start=2, callbacks=[Diary(calls)])
    assert calls == ["begin 2", "before 3", "after 3", "before 4", "after 4", "end 4"]


def test_steps_carry_utilisation_and_memory(world: World) -> None:
    world.train()
    steps = [event for event in world.events() if isinstance(event, StepFinished)]
    assert {(step.mfu, step.memory_bytes) for step in steps} == {(0.5, 1 << 20)}
