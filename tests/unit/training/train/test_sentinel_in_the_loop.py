"""The loop's sentinel around an engine that says what it is told to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.engines.base import StepOut, Watch
from paceline.engines.watch import Testimony as Said
from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.plan.layout import Layout
from paceline.recipe.watch import SentinelChoice
from paceline.spec.events import CorruptionJudged, SentinelPaced
from paceline.supervise.protocol import CorruptionFound
from paceline.train.sentinel import Sentinel

LAYOUT = Layout(world_size=2, dp_shard=2, sequences_per_rank=1, micro_sequences=1, micro_steps=1)
HONEST = (Said(state=1, altered=False, loss=2), Said(state=3, altered=False, loss=4))
RECOMPUTED = (replace(HONEST[0], passes=10, partners=(11, 0)), replace(HONEST[1], passes=11, partners=(10, 0)))


class Number:
    def __init__(self, value: float) -> None:
        self.value = value

    def result(self) -> float:
        return self.value


class World:
    """The engine, and what it did."""

    def __init__(self, directory: Path, choice: SentinelChoice) -> None:
        self.diary: list[str] = []
        self.directory = directory
        self.is_altered = False
        self.has_snapshot = True
        self.syncs = 0
        self.sentinel = Sentinel(
            choice,
            self,  # type: ignore[arg-type]
            LAYOUT,
            rank=0,
            verified=0,
            passes=lambda step, data_rank: [f"passes of {data_rank}"],  # type: ignore[list-item]
            reload=self.reload,
            journal=Journal(directory, run="test", producer="rank-0", node="node-0", rank=0),
        )
        self.sentinel.begin(0)

    def seal(self) -> None:
        self.diary.append("seal")

    def altered(self) -> bool:
        return self.is_altered

    def sync(self) -> None:
        self.syncs += 1

    def reload(self, step: int) -> bool:
        self.diary.append(f"reload {step}")
        return self.has_snapshot

    def judged(self) -> list[str]:
        return [e.outcome for e in Follower(self.directory).poll() if isinstance(e, CorruptionJudged)]

    def step(
        self,
        step: int,
        first: tuple[Said, ...] = HONEST,
        again: tuple[Said, ...] = RECOMPUTED,
        loss: float = 1.0,
        costs: tuple[int, int] = (0, 0),
    ) -> StepOut:
        watch = self.sentinel.watch(step)
        self.diary.append(f"step {step}" + ("" if watch is None else f" watched {len(watch.recompute)}"))

        def retake(watch: Watch) -> StepOut:
            self.diary.append(f"again {watch.recompute}")
            return out(again, 1.0)

        return self.sentinel.accept(step, out(first if watch else None, loss), retake, costs)


def out(said: tuple[Said, ...] | None, loss: float) -> StepOut:
    words: Any = None
    if said is not None:
        words = np.array([[s.state, s.altered, s.loss, s.passes, *s.partners] for s in said], dtype=np.int64)
    return StepOut(loss=Number(loss), gradient_norm=Number(1.0), totals=np.zeros(1, dtype=np.int64), testimonies=words)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    return lambda **choice: World(tmp_path, SentinelChoice(**choice))


def test_the_state_is_sealed_after_every_step_and_once_before_the_first(world: Callable[..., World]) -> None:
    at = world(recompute_every=0)
    for step in range(2):
        at.step(step)
        assert at.sentinel.verified == step
    assert at.diary == ["seal", "step 0 watched 0", "seal", "step 1 watched 0", "seal"]
    at.sentinel.end(2)
    assert at.sentinel.verified == 2


def test_cadences_say_which_steps_are_watched(world: Callable[..., World]) -> None:
    at = world(every=2, recompute_every=3)
    for step in range(7):
        at.step(step, RECOMPUTED if step in (3, 6) else HONEST)
    steps = [entry for entry in at.diary if entry.startswith("step")]
    watched = [entry.partition("watched ")[2] for entry in steps]
    assert watched == ["0", "", "0", "1", "0", "", "1"]
    assert at.judged() == []


def test_checks_that_cost_too_much_become_rarer_and_that_is_told(world: Callable[..., World]) -> None:
    at = world(overhead=0.01, recompute_every=0)
    for step in range(9):
        at.step(step, costs=(0, 0) if step < 3 else (80_000_000, 2_000_000_000))
    watched = [entry for entry in at.diary if "watched" in entry]
    assert watched == [f"step {step} watched 0" for step in (0, 1, 2, 3, 4, 8)]
    [told] = [e for e in Follower(at.directory).poll() if isinstance(e, SentinelPaced)]
    assert (told.before, told.after, told.check_seconds, told.step_seconds) == (1, 4, 0.04, 1.0)
    assert at.sentinel.costs != (0, 0)
    assert at.syncs == 2 * 4, "it has timed the seals after steps 1, 2, 4 and 8"


def test_what_becomes_durable_is_checked_whatever_the_cadence(world: Callable[..., World]) -> None:
    at = world(every=10, recompute_every=0)
    for step in range(5):
        at.step(step)
    at.sentinel.guard(5)
    at.sentinel.guard(5)
    at.step(5)
    assert at.sentinel.verified == 5
    at.step(6)
    assert at.diary[-3:] == ["seal", "step 5 watched 0", "step 6"]


def test_altered_state_ends_the_generation_at_the_last_step_that_was_right(world: Callable[..., World]) -> None:
    at = world(recompute_every=0)
    at.step(0)
    at.step(1)
    with pytest.raises(CorruptionFound) as found:
        at.step(2, (replace(HONEST[0], altered=True), HONEST[1]))
    assert (found.value.corruption.ranks, found.value.corruption.good_step) == ((0,), 1)
    assert at.diary[-1] == "step 2 watched 0", "nothing is sealed after it"
    assert (found.value.corruption.step, found.value.corruption.subject) == (3, "state")
    assert at.judged() == [], "the coordinator tells of it, whose word cannot be cut off"


def test_what_a_generation_starts_from_is_not_right_before_it_was_looked_at(world: Callable[..., World]) -> None:
    at = world(every=5)
    at.sentinel.verified = 5
    at.sentinel.begin(8)
    at.step(8)
    at.step(9)
    with pytest.raises(CorruptionFound) as found:
        at.step(10, (HONEST[0], replace(HONEST[1], altered=True)))
    assert found.value.corruption.good_step == 5


def test_work_that_differs_is_done_again_and_its_doer_convicted(world: Callable[..., World]) -> None:
    at = world(recompute_every=1)
    at.step(0)
    with pytest.raises(CorruptionFound) as found:
        at.step(1, (replace(RECOMPUTED[0], passes=9), RECOMPUTED[1]))
    assert at.diary[-2:] == ["reload 1", "again (['passes of 1'],)"]
    assert (found.value.corruption.ranks, found.value.corruption.good_step) == ((0,), 1)


def test_a_leap_that_comes_again_is_true(world: Callable[..., World]) -> None:
    at = world(recompute_every=0)
    at.step(0)
    assert at.step(1, loss=float("nan")).loss.result() == 1.0, "what the step gave when it was taken again"
    assert at.judged() == ["reproduced"]


def test_without_a_snapshot_a_suspicion_is_told_and_training_goes_on(world: Callable[..., World]) -> None:
    at = world(recompute_every=0)
    at.has_snapshot = False
    at.step(0, loss=float("inf"))
    assert at.judged() == ["unexamined"]


def test_kernels_that_are_not_deterministic_end_recomputing_and_not_the_run(world: Callable[..., World]) -> None:
    at = world(recompute_every=1)
    at.step(0)
    at.step(1, (RECOMPUTED[0], replace(RECOMPUTED[1], partners=(5, 0))), tuple(replace(s, loss=9) for s in RECOMPUTED))
    assert at.judged() == ["irreproducible"]
    at.step(2)
    assert at.diary[-2] == "step 2 watched 0"


def test_state_that_changes_after_the_last_update_is_found(world: Callable[..., World]) -> None:
    at = world(recompute_every=0)
    at.step(0)
    at.is_altered = True
    with pytest.raises(CorruptionFound) as found:
        at.sentinel.end(1)
    assert (found.value.corruption.ranks, found.value.corruption.good_step) == ((0,), 0)
