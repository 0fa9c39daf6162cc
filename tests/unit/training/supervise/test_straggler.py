"""Who is named as slow, and who is not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.supervise.protocol import RankProgress, Work, WorkersStatus
from paceline.supervise.straggler import StragglerWatch, slow_ranks

STEPS = 16


def work(compute: float, data: float = 0.001, steps: int = STEPS) -> Work:
    return Work(steps=steps, data_seconds=data * steps, compute_seconds=compute * steps)


def report(watch: StragglerWatch, works: dict[int, Work], generation: int = 0) -> list[tuple[int, str]]:
    ranks = tuple(RankProgress(rank=r, step=w.steps, phase=4, idle_seconds=0.0, work=w) for r, w in works.items())
    status = WorkersStatus(generation=generation, state="running", step=0, ranks=ranks)
    return [(s.rank, s.phase) for s in watch.found(generation, [status])]


def total(each: Work, windows: int) -> Work:
    spent = each.data_seconds * windows, each.compute_seconds * windows
    return Work(steps=each.steps * windows, data_seconds=spent[0], compute_seconds=spent[1])


@settings(max_examples=200, deadline=None)
@given(
    base=st.floats(1e-4, 100.0),
    noise=st.lists(st.floats(0.9, 1.1), min_size=2, max_size=64),
    factor=st.floats(2.5, 50.0),
    data=st.data(),
)
def test_the_slow_one_is_named_and_nobody_else(
    base: float, noise: list[float], factor: float, data: st.DataObject
) -> None:
    works = {rank: work(base * share, data=base / 1000) for rank, share in enumerate(noise)}
    assert slow_ranks(works) == []
    slow = data.draw(st.sampled_from(sorted(works)))
    works[slow] = work(base * factor, data=base / 1000)
    [found] = slow_ranks(works)
    assert (found.rank, found.phase) == (slow, "compute")
    assert found.factor > 2


@given(st.lists(st.floats(0.0, 0.001), min_size=2, max_size=16))
def test_data_that_is_there_at_once_is_no_ground(waits: list[float]) -> None:
    """Their ratios are large; measured by the step they are nothing."""
    assert slow_ranks({rank: work(1.0, data=wait) for rank, wait in enumerate(waits)}) == []


def test_waiting_for_data_is_told_apart_from_computing() -> None:
    [found] = slow_ranks({0: work(1.0), 1: work(1.0, data=3.0), 2: work(1.0)})
    assert (found.rank, found.phase, round(found.factor)) == (1, "data", 4)


def test_one_of_two_can_be_slow_and_one_alone_cannot() -> None:
    assert [s.rank for s in slow_ranks({0: work(1.0), 1: work(2.0)})] == [1]
    assert slow_ranks({0: work(1.0)}) == []


def test_where_all_differ_nobody_is_named() -> None:
    assert slow_ranks({rank: work(seconds) for rank, seconds in enumerate((1.0, 2.0, 3.0, 4.0, 5.0))}) == []


def test_only_who_is_slow_for_long_is_a_straggler_and_is_named_once() -> None:
    watch, slow, fair = StragglerWatch(), work(4.0), work(1.0)
    named = [report(watch, {0: total(fair, n), 1: total(slow, n)}) for n in range(6)]
    assert named == [[], [], [], [(1, "compute")], [], []]


def test_a_window_without_it_and_a_new_generation_begin_anew() -> None:
    watch, slow, fair = StragglerWatch(), work(4.0), work(1.0)
    for windows in (0, 1, 2):
        assert report(watch, {0: total(fair, windows), 1: total(slow, windows)}) == []
    paused = Work(steps=3 * STEPS, data_seconds=0.0, compute_seconds=slow.compute_seconds * 2 + fair.compute_seconds)
    assert report(watch, {0: total(fair, 3), 1: paused}) == []
    assert report(watch, {0: Work(), 1: Work()}, generation=1) == []
    for windows in (1, 2):
        assert report(watch, {0: total(fair, windows), 1: total(slow, windows)}, generation=1) == []
    assert report(watch, {0: total(fair, 3), 1: total(slow, 3)}, generation=1) == [(1, "compute")]


def test_ranks_that_are_not_done_with_the_window_are_waited_for() -> None:
    watch, slow, fair = StragglerWatch(), work(4.0), work(1.0)
    report(watch, {0: Work(), 1: Work()})
    assert report(watch, {0: fair, 1: work(4.0, steps=STEPS - 1)}) == []
    assert report(watch, {0: fair, 1: slow}) == []
