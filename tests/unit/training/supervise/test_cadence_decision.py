"""When the coordinator changes how often checkpoints are made durable, and that it says why."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.catalog.failure_rates import failure_rates
from paceline.plan.cadence import failures_per_second, interval, steps_between
from paceline.spec.events import CadenceChanged
from paceline.supervise.protocol import RankProgress, Work, WorkersStatus

Stage = Any  # of conftest.py, which importlib mode does not let tests import
RATE = failures_per_second(2, failure_rates().rates["rsc-1"])


@pytest.fixture
def auto(stage: Stage) -> Stage:
    recipe = stage.job.recipe | {"checkpoint": {"cadence": "auto", "persist_every": 10, "failures": "rsc-1"}}
    stage.job = stage.job.model_copy(update={"recipe": recipe})
    stage.replace_coordinator()
    stage.start()
    return stage


def work(stage: Stage, *, stall: float, uploads: tuple[float | None, float | None], persisted: int = 2) -> None:
    """40 steps of half a second; snapshots stall 10 ms, those that are made durable `stall` more."""
    for number, name in enumerate("ab"):
        done = Work(
            steps=40,
            seconds=20.0,
            stall_seconds=0.01 * (40 - persisted),
            persisted=persisted,
            persist_stall_seconds=(0.01 + stall) * persisted,
        )
        rank = RankProgress(rank=number, step=40, phase=4, idle_seconds=0.0, work=done)
        workers = WorkersStatus(generation=stage[name].assignment.generation, state="running", step=40, ranks=(rank,))
        stage[name].say(following=stage[name].assignment, workers=workers, persist_seconds=uploads[number])


def test_it_begins_as_the_recipe_says_and_then_follows_what_is_measured(auto: Stage) -> None:
    assert auto["a"].told.persist_every == 10
    work(auto, stall=0.2, uploads=(3.0, None), persisted=0)
    work(auto, stall=0.2, uploads=(None, None))
    assert auto.events(CadenceChanged) == []  # nothing is known of what one costs
    work(auto, stall=0.2, uploads=(3.0, 4.0))
    expected = steps_between(interval(0.2, 4.0, RATE), 0.5)
    [told] = auto.events(CadenceChanged)
    assert (told.before, told.after) == (10, expected) == (10, auto["a"].told.persist_every)
    assert (told.stall_seconds, told.absorb_seconds, told.step_seconds) == (pytest.approx(0.2), 4.0, 0.5)
    assert told.failures_per_day == pytest.approx(RATE * 86400)


def test_what_storage_can_take_is_the_least_interval(auto: Stage) -> None:
    work(auto, stall=0.0, uploads=(30.0, 60.0))
    assert auto["a"].told.persist_every == 240  # two minutes of steps of half a second: the slowest upload, twice


def test_a_change_that_hardly_matters_is_not_made(auto: Stage) -> None:
    for persisted, upload in ((1, 60.0), (2, 70.0), (4, 50.0), (8, 80.0)):
        work(auto, stall=0.0, uploads=(upload, upload), persisted=persisted)
    assert [(told.before, told.after) for told in auto.events(CadenceChanged)] == [(10, 240), (240, 320)]


def test_it_looks_again_when_twice_as_much_was_saved_and_after_a_recovery(auto: Stage) -> None:
    for persisted, upload in ((2, 60.0), (3, 600.0), (20, 60.0), (35, 600.0), (36, 120.0)):
        work(auto, stall=0.0, uploads=(upload, upload), persisted=persisted)
    changes = [(told.before, told.after) for told in auto.events(CadenceChanged)]
    assert changes == [(10, 240), (240, 480)]
    auto["a"].work(40, state="failed")
    auto.wait(1.0)
    assert auto["a"].assignment.generation == 1
    work(auto, stall=0.0, uploads=(60.0, 60.0), persisted=1)
    assert auto["a"].told.persist_every == 240


def test_a_successor_goes_on_with_the_cadence_that_was_told(auto: Stage) -> None:
    work(auto, stall=0.0, uploads=(30.0, 60.0))
    auto.replace_coordinator()
    for name in "abc":
        auto[name].say()
    auto.wait(1.1)
    assert auto["a"].told.persist_every == 240


def test_a_fixed_cadence_is_told_to_nobody(stage: Stage) -> None:
    stage.start()
    work(stage, stall=0.2, uploads=(3.0, 4.0))
    assert stage["a"].told.persist_every is None and stage.events(CadenceChanged) == []
