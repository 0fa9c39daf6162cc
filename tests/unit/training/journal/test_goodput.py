from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.journal.goodput import Ledger, ledger
from paceline.journal.timeline import SECOND, microseconds
from paceline.spec.errors import JournalError
from paceline.spec.events import (
    Activity,
    AnyEvent,
    CheckpointRestored,
    FaultDetected,
    FaultInjected,
    GenerationOpened,
    MembershipChanged,
    PhaseChanged,
    RunFinished,
    RunStarted,
    SpareLent,
    SpareReturned,
    StepFinished,
)

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ORIGIN = microseconds(START)


def seconds(book: Ledger, node: str) -> dict[str, float]:
    return {activity.value: amount / SECOND for activity, amount in book.by_activity(node).items() if amount}


def story(book: Ledger, node: str) -> list[tuple[float, float, str]]:
    return [((i.start - ORIGIN) / SECOND, (i.end - ORIGIN) / SECOND, i.activity.value) for i in book.intervals[node]]


def test_a_run_without_a_fault_is_steps_after_a_start(run_of):
    book = ledger(run_of(faulty=False).read())
    assert book.wall == 22_600_000
    assert seconds(book, "node-0") == pytest.approx(
        {
            "unknown": 0.1 + 0.6,  # before its first word; after the last step
            "initialise": 1.9,
            "data_stall": 40 * 0.01,
            "productive": 40 * 0.45,
            "checkpoint_stall": 40 * 0.04,
        }
    )
    assert seconds(book, "node-2") == pytest.approx({"unknown": 0.1, "initialise": 0.2, "idle_reserved": 22.3})
    assert book.goodput == pytest.approx(40 * 0.45 / 22.6)
    assert book.goodput_reserved == pytest.approx(40 * 0.45 * 2 / (22.6 * 3))


def test_the_fault_is_told_per_node(run_of):
    book = ledger(run_of().read())
    survivor = [part for part in story(book, "node-0") if part[0] >= 12]
    assert survivor[:7] == [
        (12.0, 12.7, "lost_work"),  # step 21, which the run went back behind, and the beginning of step 22
        (12.7, 12.9, "detect"),
        (12.9, 12.95, "localise"),
        (12.95, 13.15, "restart"),
        (13.15, 13.25, "restore"),
        (13.25, 13.35, "restart"),
        (13.35, 13.36, "data_stall"),
    ]
    assert story(book, "node-1")[-3:] == [
        (12.0, 12.7, "lost_work"),
        (12.7, 12.9, "detect"),
        (12.9, 23.95, "down"),
    ]
    spare = story(book, "node-2")
    assert spare[2:6] == [
        (0.3, 12.95, "idle_reserved"),
        (12.95, 13.15, "restart"),
        (13.15, 13.25, "restore"),
        (13.25, 13.35, "restart"),
    ]


def test_every_loss_of_the_fault_has_its_cause(run_of):
    book = ledger(run_of().read())
    totals = book.by_cause()["node_lost on node-1"]
    assert {a.value: t / SECOND for a, t in totals.items()} == pytest.approx(
        {"lost_work": 1.4, "detect": 0.4, "localise": 0.05, "restart": 0.6, "restore": 0.2, "down": 11.05}
    )


def test_a_node_whose_end_is_confirmed_late_is_still_down_because_of_the_fault(run_of):
    script = run_of()
    script.events = [e for e in script.events if not isinstance(e, MembershipChanged) or e.state != "lost"]
    script.member(12.953, "node-1", "spare", "not needed now")
    script.member(12.960, "node-1", "lost", "its connection closed")
    totals = ledger(script.read()).by_cause()["node_lost on node-1"]
    assert totals[Activity.DOWN] / SECOND == pytest.approx(11.05 - 0.007)


def test_nothing_is_lost_when_the_run_goes_on_from_its_last_step(run_of):
    book = ledger(run_of(kept=21).read())
    assert seconds(book, "node-0")["lost_work"] == pytest.approx(0.2)


def test_work_is_lost_to_a_later_generation_that_goes_back_further(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    for number in (1, 2, 3):
        script.step(number, "a", number, 0, seconds=1)
    script.open(4, 1, ["a"], 3)
    script.step(6, "a", 4, 1, seconds=1)
    script.open(7, 2, ["a"], 1)
    script.at(8, RunFinished, outcome="failed", step=1)
    book = ledger(script.read())
    assert seconds(book, "a")["lost_work"] == 3  # steps 2, 3 and 4
    assert seconds(book, "a")["productive"] == pytest.approx(0.95)
    assert seconds(book, "a")["restart"] == 2  # until step 4 began, and the last second


def test_a_fault_that_does_not_stop_the_steps_costs_nothing(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    script.at(1.5, FaultDetected, fault="slow", target="a", evidence="it was slow")
    script.step(3, "a", 2, 0, seconds=1)
    script.at(3, RunFinished, outcome="completed", step=2)
    assert set(seconds(ledger(script.read()), "a")) == {"productive", "data_stall", "checkpoint_stall", "unknown"}


def test_a_node_that_comes_back_is_not_down_any_more(script):
    script.start(0, nodes=1, spares=1)
    script.open(0, 0, ["a"], 0)
    script.member(0, "b", "spare")
    script.member(1, "b", "lost", "no heartbeat")
    script.member(3, "b", "spare")
    script.at(4, RunFinished, outcome="completed", step=0)
    assert seconds(ledger(script.read()), "b") == {"idle_reserved": 2, "down": 2}


def test_the_pause_between_a_stop_and_a_resume_is_not_part_of_the_run(script):
    for begin, number in ((0, 1), (100, 2)):
        script.start(begin, nodes=1, spares=0)
        script.open(begin, 0, ["a"], number - 1)
        script.step(begin + 2, "a", number, 0, seconds=1)
        script.at(begin + 2, RunFinished, outcome="stopped", step=number)
    book = ledger(script.read())
    assert book.wall == 4 * SECOND
    assert seconds(book, "a") == pytest.approx(
        {"initialise": 2, "productive": 1.9, "data_stall": 0.02, "checkpoint_stall": 0.08}
    )


def test_after_a_resume_nothing_holds_that_a_node_said_before(script):
    for begin in (0, 100):
        script.start(begin, nodes=1, spares=0)
        script.open(begin + 1, 0, ["a"], 0)
        script.phase(begin + 1, "a", Activity.EVALUATION)
        script.at(begin + 3, RunFinished, outcome="stopped", step=0)
    assert seconds(ledger(script.read()), "a") == {"unknown": 2, "evaluation": 4}


def test_a_restored_node_that_says_nothing_more_is_on_its_way(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 5)
    script.phase(1, "a", Activity.RESTORE)
    script.at(2, CheckpointRestored, producer="a", node="a", step=5, source="manifest", bytes=1, seconds=0.5)
    script.step(5, "a", 6, 0, seconds=1)
    book = ledger(script.read())
    assert seconds(book, "a")["restore"] == 1
    assert seconds(book, "a")["initialise"] == 3  # one before and two after


def test_a_run_that_was_killed_ends_with_its_last_event(run_of):
    events = [event for event in run_of().read() if not isinstance(event, RunFinished)]
    assert ledger(events[:-1]).wall == microseconds(events[-2].time) - ORIGIN


def test_a_journal_without_a_start_is_refused(run_of):
    with pytest.raises(JournalError, match=r"run\.started"):
        ledger([event for event in run_of().read() if not isinstance(event, RunStarted)])


NODES = ("a", "b", "c", "d")
TIMES = st.integers(-2_000_000, 40_000_000).map(lambda us: START + timedelta(microseconds=us))
LENGTHS = st.floats(0, 20, allow_nan=False)
NODE = st.sampled_from(NODES)


def _event(kind: type, **fields: st.SearchStrategy) -> st.SearchStrategy:
    context = {
        "time": TIMES,
        "monotonic_ns": st.just(0),
        "run": st.just("r"),
        "producer": NODE,
        "generation": st.none() | st.integers(0, 3),
        "node": NODE,
    }
    return st.builds(kind, **(context | fields))


STEPS = st.integers(0, 9)
STARTED = {
    "recipe": st.just("r"),
    "recipe_sha256": st.just(""),
    "nodes": st.just(2),
    "spares": st.just(1),
    "world_size": st.just(2),
    "total_steps": st.just(9),
    "tokens_per_step": st.just(1),
    "seed": st.just(0),
    "dataset": st.just(""),
}
EVENTS = st.one_of(
    _event(RunStarted, **STARTED),
    _event(RunFinished, step=STEPS),
    _event(PhaseChanged),
    _event(
        GenerationOpened,
        ranks=st.dictionaries(NODE, st.integers(0, 3)),
        lost_nodes=st.lists(NODE).map(tuple),
        restore_step=STEPS,
    ),
    _event(StepFinished, step=STEPS, seconds=LENGTHS, data_seconds=LENGTHS, checkpoint_seconds=LENGTHS),
    _event(CheckpointRestored, seconds=LENGTHS),
    _event(FaultInjected, target=NODE),
    _event(FaultDetected, target=NODE),
    _event(MembershipChanged),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=40), _event(RunStarted, **STARTED))
def test_all_time_is_booked_once_whatever_happens(events: list[AnyEvent], started: AnyEvent):
    book = ledger(sorted([*events, started], key=lambda event: event.time))
    assert sum(book.by_activity().values()) == book.wall * len(book.intervals) == book.reserved
    per_node: Counter[Activity] = Counter()
    for node, intervals in book.intervals.items():
        per_node += book.by_activity(node)
        assert sum(i.end - i.start for i in intervals) == book.wall
        assert all(i.start < i.end for i in intervals)
        assert all(a.end <= b.start for a, b in pairwise(intervals))
    assert per_node == +book.by_activity()


def test_a_spare_that_is_lent_costs_the_run_nothing(script):
    script.start(0, nodes=1, spares=1)
    script.open(0, 0, ["a"], 0)
    script.member(0, "b", "spare")
    script.at(1, PhaseChanged, producer="b", node="b", activity="idle_reserved")
    script.at(2, SpareLent, producer="b", node="b", command=("evaluate",))
    script.at(7, SpareReturned, producer="b", node="b", outcome="finished", seconds=5.0)
    script.step(10, "a", 1, 0, seconds=10)
    script.at(10, RunFinished, outcome="completed", step=1)
    book = ledger(script.read())
    assert seconds(book, "b") == {"idle_reserved": 5, "lent": 5}
    assert book.goodput_reserved == pytest.approx(book.goodput * 10 / 15)


def test_a_spare_that_is_reclaimed_restarts_until_its_first_step(script):
    script.start(0, nodes=1, spares=1)
    script.open(0, 0, ["a"], 0)
    script.member(0, "b", "spare")
    script.at(2, SpareLent, producer="b", node="b", command=("evaluate",))
    script.open(6, 1, ["b"], 0)
    script.at(6, PhaseChanged, producer="b", node="b", activity="restart")
    script.at(7, SpareReturned, producer="b", node="b", outcome="reclaimed", seconds=5.0, reclaim_seconds=1.0)
    script.at(8, RunFinished, outcome="completed", step=0)
    assert seconds(ledger(script.read()), "b") == {"idle_reserved": 2, "lent": 4, "restart": 2}
