"""The interval loses least, and storage can take it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.catalog.failure_rates import Rate, failure_rates
from paceline.plan.cadence import failures_per_second, interval, steps_between

STALLS = st.floats(1e-3, 60)
RATES = st.floats(1e-8, 1e-5)


def lost(every: float, stall: float, per_second: float) -> float:
    """Of a second of training: the stalls, and half an interval for every failure."""
    return stall / every + per_second * every / 2


@given(stall=STALLS, per_second=RATES, factor=st.floats(0.1, 10))
def test_no_other_interval_loses_less(stall: float, per_second: float, factor: float) -> None:
    best = interval(stall, 0.0, per_second)
    assert lost(best, stall, per_second) <= lost(best * factor, stall, per_second) * (1 + 1e-9)


@given(stall=STALLS, absorb=st.floats(0, 1e5), per_second=RATES, more=st.floats(1, 100))
def test_more_failures_save_more_often_and_storage_is_never_asked_for_more_than_it_takes(
    stall: float, absorb: float, per_second: float, more: float
) -> None:
    often = interval(stall, absorb, per_second * more)
    assert 2 * absorb <= often <= interval(stall, absorb, per_second)


@given(seconds=st.floats(0, 1e6), step=st.floats(1e-3, 1e3))
def test_whole_steps_take_at_least_so_long_and_no_step_longer(seconds: float, step: float) -> None:
    steps = steps_between(seconds, step)
    assert steps >= 1 and steps * step >= seconds * (1 - 1e-12)
    assert steps == 1 or (steps - 1) * step < seconds


def test_a_fleet_of_the_published_size_fails_as_often_as_published() -> None:
    llama3 = failure_rates().rates["llama3"]
    assert failures_per_second(16384, llama3) * 86400 * 54 == pytest.approx(419, rel=0.01)
    assert failures_per_second(8, Rate(per_1000_node_days=1000, source="test")) * 86400 == pytest.approx(1)


def test_a_stall_of_half_a_second_on_a_thousand_nodes_is_worth_taking_every_two_to_three_minutes() -> None:
    assert interval(0.5, 10, failures_per_second(8000, failure_rates().rates["llama3"])) == pytest.approx(151, abs=1)
