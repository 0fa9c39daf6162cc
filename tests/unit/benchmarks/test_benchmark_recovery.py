"""The arithmetic of a fault, the same for every system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.common.recovery import has_caught_up, recovery, steady
from paceline.spec.errors import LaunchError
from paceline.spec.events import StepFinished

START = datetime(2026, 1, 1, tzinfo=UTC)
KILLED = START + timedelta(seconds=100)


def step(number: int, *, at: float, generation: int = 0, seconds: float = 1.0, rank: int = 0) -> StepFinished:
    return StepFinished(
        time=START + timedelta(seconds=at),
        monotonic_ns=0,
        run="r",
        producer="p",
        generation=generation,
        rank=rank,
        step=number,
        loss=1.0,
        tokens=1,
        learning_rate=1.0,
        gradient_norm=1.0,
        seconds=seconds,
        data_seconds=0.0,
        checkpoint_seconds=0.0,
    )


BEFORE = [step(18, at=97, seconds=2.0), step(19, at=98, seconds=4.0), step(20, at=99, seconds=3.0)]


def test_a_fault_that_loses_steps_costs_more_than_the_restart() -> None:
    """Resumed from 18: 19 and 20 are done again, 21 is new."""
    after = [step(19, at=105, generation=2), step(20, at=106, generation=2), step(21, at=107, generation=2)]
    found = recovery([*BEFORE, *after], killed=KILLED, detected=KILLED + timedelta(seconds=0.5), warm_up=0)
    assert found.detect_seconds == 0.5
    assert (found.first_step_seconds, found.caught_up_seconds) == (5.0, 7.0)
    assert found.lost_steps == 2
    assert found.step_seconds == 3.0


def test_a_fault_that_loses_nothing() -> None:
    found = recovery([*BEFORE, step(21, at=101, generation=1)], killed=KILLED, detected=None, warm_up=0)
    assert found.detect_seconds is None
    assert (found.first_step_seconds, found.caught_up_seconds, found.lost_steps) == (1.0, 1.0, 0)


def test_steps_done_again_are_not_yet_a_recovery() -> None:
    repeated = [*BEFORE, step(20, at=105, generation=1)]
    assert not has_caught_up(repeated) and not has_caught_up(BEFORE) and not has_caught_up([])
    with pytest.raises(LaunchError, match="did not come back"):
        recovery(repeated, killed=KILLED, detected=KILLED, warm_up=0)


def test_a_run_is_whole_when_its_last_rank_takes_part_again() -> None:
    """One survivor goes on alone, and the other comes back later."""
    before = [*BEFORE, step(20, at=99, rank=1)]
    alone = [step(number, at=80 + number, generation=1) for number in (21, 22)]
    assert not has_caught_up([*before, *alone])
    both = [step(23, at=110, generation=2), step(23, at=111, generation=1, rank=1)]
    found = recovery([*before, *alone, *both], killed=KILLED, detected=None, warm_up=0)
    assert (found.first_step_seconds, found.whole_seconds, found.lost_steps) == (1.0, 11.0, 0)


def test_the_warm_up_is_not_measured() -> None:
    kept = steady([step(12, at=0), step(13, at=1)], 12)
    assert [s.step for s in kept] == [13]
    found = recovery([*BEFORE, step(21, at=101, generation=1)], killed=KILLED, detected=None, warm_up=19)
    assert found.step_seconds == 3.0
