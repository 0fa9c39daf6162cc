"""The goodput that is exported: the ledger's, of the last hour."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.journal.goodput import ledger
from paceline.journal.recent import RecentGoodput
from paceline.journal.timeline import SECOND, microseconds
from paceline.spec.events import AnyEvent, RunFinished
from tests.unit.training.conftest import Script

HOUR = 3600


def ratio(events: Sequence[AnyEvent]) -> float | None:
    recent = RecentGoodput()
    for event in events:
        recent.observe(event)
    return recent.ratio


def test_a_run_shorter_than_the_hour_has_the_goodput_of_its_report(run_of):
    events = [event for event in run_of().read() if event.producer != "demo"]
    assert ratio(events) == ledger(events).goodput > 0


def test_what_was_lost_more_than_an_hour_ago_is_forgotten(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    for number in range(20):
        script.step(1000 + 300 * (number + 1), "a", number + 1, 0, seconds=300)
    script.at(7000, RunFinished, outcome="completed", step=20)
    events = script.read()
    assert ledger(events).goodput == pytest.approx(6000 / 7000, abs=0.01)
    assert ratio(events) == pytest.approx(1, abs=0.001)


def test_in_the_first_minute_there_is_none(script):
    script.member(-9, "a", "joined")
    script.start(0)
    script.member(59, "a", "active")
    assert ratio(script.read()) is None


LENGTHS = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_forgetting_old_steps_changes_nothing(stretches: list[tuple[int, int, bool]]):
    """Steps of any length, pauses between them, and generations that go back one step."""
    script, clock, number, generation = Script(), 10.0, 0, 0
    script.start(0, nodes=2, spares=0)
    script.open(5, 0, ["a", "b"], 0)
    for seconds, pause, breaks in stretches:
        clock, number = clock + seconds, number + 1
        for node in ("a", "b"):
            script.step(clock, node, number, generation, seconds=seconds)
        clock += pause
        if breaks:
            generation, number = generation + 1, number - 1
            script.open(clock, generation, ["a", "b"], number)
    script.at(clock + 1, RunFinished, outcome="completed", step=number)
    events = script.read()
    since = microseconds(events[-1].time) - HOUR * SECOND
    assert ratio(events) == ledger(events).since(since).goodput
