"""When nothing moves for too long, and how often a node or a worker may fail: in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from paceline.spec.events import EVERYBODY, AnyEvent, FaultClassified, FaultDetected
from paceline.spec.job import FaultBudget, Timeouts
from paceline.supervise.conduct import Conduct
from paceline.supervise.hang import HangWatch, percentile
from paceline.supervise.membership import SILENT_CORRUPTION, Fault
from paceline.supervise.protocol import RankProgress, Work, WorkersStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def workers(
    step: int, idle: float, *others: float, generation: int = 0, start: float | None = None, work: Work | None = None
) -> list[WorkersStatus]:
    """One node with a rank that has been idle for each of these seconds, and took `start` until its first step."""
    ranks = tuple(
        RankProgress(rank=i, step=step, phase=4, idle_seconds=s, work=work or Work())
        for i, s in enumerate((idle, *others))
    )
    return [WorkersStatus(generation=generation, state="running", step=step, start_seconds=start, ranks=ranks)]


def train(watch: HangWatch, clock: Clock, steps: int, seconds: float, generation: int = 0) -> None:
    for step in range(steps):
        start = seconds if step else None
        assert watch.stalled(generation, workers(step, 0.0, generation=generation, start=start)) is None
        clock.now += seconds


def test_the_threshold_follows_the_steps_but_never_below_the_floor(clock: Clock) -> None:
    watch = HangWatch(Timeouts(hang_floor=5.0, start=600.0), clock)
    assert watch.threshold == 600.0, "nobody knows yet how long a start takes"
    train(watch, clock, 5, 0.1)
    assert watch.threshold == 5.0
    slow = HangWatch(Timeouts(hang_floor=5.0), clock)
    train(slow, clock, 5, 20.0)
    assert slow.threshold == pytest.approx(60.0)
    assert slow.stalled(0, workers(4, 59.0, start=20.0)) is None
    assert slow.stalled(0, workers(4, 61.0, start=20.0)) == 61.0


def test_one_rank_that_moves_is_no_hang(clock: Clock) -> None:
    watch = HangWatch(Timeouts(), clock)
    train(watch, clock, 5, 0.1)
    assert watch.stalled(0, workers(4, 30.0, 1.0, start=0.1)) is None
    assert watch.stalled(0, workers(4, 30.0, 8.0, start=0.1)) == 8.0


def test_a_later_generation_is_measured_by_the_start_of_an_earlier_one(clock: Clock) -> None:
    watch = HangWatch(Timeouts(start=600.0), clock)
    train(watch, clock, 5, 4.0)
    assert watch.stalled(1, workers(4, 11.0, generation=1)) is None
    assert watch.stalled(1, workers(4, 13.0, generation=1)) == 13.0


def test_a_successor_measures_by_the_steps_and_the_start_that_its_ranks_have_behind_them(clock: Clock) -> None:
    """Its predecessor died, and nothing has moved since: it sees no step itself."""
    successor = HangWatch(Timeouts(hang_floor=5.0, start=600.0), clock)
    work = Work(steps=40, seconds=160.0)
    assert successor.stalled(3, workers(40, 11.0, generation=3, start=30.0, work=work)) is None
    assert successor.stalled(3, workers(40, 13.0, generation=3, start=30.0, work=work)) == 13.0
    assert successor.stalled(4, workers(40, 89.0, generation=4)) is None, "and the next generation by that start"
    assert successor.stalled(4, workers(40, 91.0, generation=4)) == 91.0


def test_workers_that_have_ended_do_not_hang(clock: Clock) -> None:
    watch = HangWatch(Timeouts(), clock)
    train(watch, clock, 5, 0.1)
    ended = [w.model_copy(update={"state": "completed"}) for w in workers(5, 99.0)]
    assert watch.stalled(0, ended) is None
    assert watch.stalled(1, workers(5, 99.0, generation=0)) is None, "still those of the generation before"


def test_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile(list(range(100)), 0.95) == 95


def failure(node: str | None = "a", traceback: str | None = None, fault_class: str = "worker_failed") -> Fault:
    return Fault(node=node, fault="x", fault_class=fault_class, evidence="ValueError: boom", traceback=traceback)


TRACE = 'Traceback:\n  File "/src/loop.py", line 3, in run\n  File "/src/user.py", line 9, in bad\nValueError: boom'


def test_the_same_step_three_times_is_a_bug_and_its_place_is_told(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    for _ in range(2):
        conduct.note([failure(traceback=TRACE)], progressed=False)
        assert conduct.verdict([failure(traceback=TRACE)]) is None
    conduct.note([failure(traceback=TRACE)], progressed=False)
    verdict = conduct.verdict([failure(traceback=TRACE)])
    assert verdict is not None
    assert verdict.message == "a: failed 3 times at the same step: ValueError: boom (in bad, /src/user.py:9)"


def test_progress_or_a_lost_node_begin_the_count_anew(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    for progressed, fault_class in ((False, "worker_failed"), (False, "node_lost"), (True, "worker_failed")) * 3:
        conduct.note([failure(fault_class=fault_class)], progressed=progressed)
        assert conduct.verdict([failure()]) is None


def test_an_exception_that_comes_back_in_spite_of_progress_ends_the_run(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    for _ in range(9):
        conduct.note([failure(traceback=TRACE)], progressed=True)
        clock.now += 60
    assert conduct.verdict([failure(traceback=TRACE)]) is None
    conduct.note([failure(traceback=TRACE)], progressed=True)
    verdict = conduct.verdict([failure(traceback=TRACE)])
    assert verdict is not None and "failed 10 times within 60 minutes" in verdict.message


def test_another_budget_is_kept_over_its_own_window(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(window=90.0, errors=2, node_faults=3), clock)
    for _ in range(3):
        conduct.note([failure(traceback=TRACE)], progressed=True)
        assert conduct.verdict([failure(traceback=TRACE)]) is None
        clock.now += 100
    conduct.note([failure(traceback=TRACE)], progressed=True)
    conduct.note([failure(traceback=TRACE)], progressed=True)
    assert conduct.avoid == frozenset()
    verdict = conduct.verdict([failure(traceback=TRACE)])
    assert verdict is not None and "failed 2 times within 1.5 minutes" in verdict.message
    conduct.note([failure()], progressed=True)
    assert conduct.avoid == {"a"}


def test_workers_that_are_killed_again_and_again_are_no_bug(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    for _ in range(50):
        conduct.note([failure()], progressed=True)
    assert conduct.verdict([failure()]) is None


def test_a_repeat_offender_is_avoided_for_an_hour(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    conduct.note([failure("a"), failure("b")], progressed=True)
    conduct.note([failure(None)], progressed=True)
    assert conduct.avoid == frozenset()
    clock.now += 1800
    conduct.note([failure("b")], progressed=True)
    assert conduct.avoid == {"b"}
    clock.now += 3601
    assert conduct.avoid == frozenset()


def test_a_convicted_node_is_avoided_at_once_and_for_good(clock: Clock) -> None:
    conduct = Conduct(FaultBudget(), clock)
    wrong = Fault(node="a", fault="silent corruption", fault_class=SILENT_CORRUPTION, evidence="state")
    conduct.note([wrong], progressed=True)
    clock.now += 24 * 3600.0
    assert conduct.avoid == {"a"}


def test_a_successor_takes_the_record_over(clock: Clock) -> None:
    def told(kind: type[FaultDetected | FaultClassified], target: str, ago: float, **said: str) -> AnyEvent:
        common = {"monotonic_ns": 0, "run": "test", "producer": "coordinator", "fault": "x", "target": target}
        return kind.model_validate({**common, "time": NOW - timedelta(seconds=ago), **said})

    earlier = [
        told(FaultClassified, "a", 7200, fault_class=SILENT_CORRUPTION),
        told(FaultClassified, "b", 3000, fault_class="worker_failed"),
        told(FaultClassified, "b", 60, fault_class="worker_failed"),
        told(FaultClassified, "c", 4000, fault_class="worker_failed"),
        told(FaultClassified, "c", 60, fault_class="worker_failed"),
        *(told(FaultClassified, EVERYBODY, ago, fault_class=SILENT_CORRUPTION) for ago in (20, 10)),
        *(told(FaultDetected, "d", 100 + ago, evidence="boom", traceback=TRACE) for ago in range(9)),
    ]
    conduct = Conduct(FaultBudget(), clock)
    conduct.recall(earlier, NOW)
    assert conduct.avoid == {"a", "b"}
    conduct.note([failure("d", traceback=TRACE)], progressed=True)
    verdict = conduct.verdict([failure("d", traceback=TRACE)])
    assert verdict is not None and "failed 10 times within 60 minutes" in verdict.message
