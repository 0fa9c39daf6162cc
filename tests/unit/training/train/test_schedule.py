from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.recipe.schema import Schedule
from paceline.train.schedule import learning_rate

KINDS = ("cosine", "linear", "constant", "wsd")


@pytest.mark.parametrize("kind", KINDS)
def test_warm_up_rises_in_equal_steps_to_the_peak(kind: str) -> None:
    schedule = Schedule(kind=kind, steps=20, warmup_steps=4)
    rates = [learning_rate(schedule, 10.0, step) for step in range(5)]
    assert rates == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])


def test_linear_decay() -> None:
    schedule = Schedule(kind="linear", steps=5, final_fraction=0.2)
    assert [learning_rate(schedule, 1.0, s) for s in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_cosine_is_half_way_in_the_middle_and_flat_at_the_ends() -> None:
    schedule = Schedule(kind="cosine", steps=101, final_fraction=0.0)
    rates = [learning_rate(schedule, 1.0, step) for step in range(101)]
    assert rates[50] == pytest.approx(0.5)
    assert 1.0 - rates[1] < 0.001 and rates[99] < 0.001
    assert rates[25] - rates[26] == pytest.approx(0.011, abs=0.001)


def test_constant_does_not_decay() -> None:
    schedule = Schedule(kind="constant", steps=10, final_fraction=0.0)
    assert {learning_rate(schedule, 0.3, step) for step in range(20)} == {0.3}


def test_wsd_stays_at_the_peak_until_the_last_part() -> None:
    schedule = Schedule(kind="wsd", steps=11, warmup_steps=2, decay_fraction=0.4, final_fraction=0.0)
    rates = [learning_rate(schedule, 1.0, step) for step in range(12)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0])


@given(
    kind=st.sampled_from(("cosine", "linear", "wsd")),
    steps=st.integers(1, 200),
    data=st.data(),
    final=st.floats(0, 1),
)
def test_it_ends_at_the_final_fraction_and_never_rises_after_warm_up(
    kind: str, steps: int, data: st.DataObject, final: float
) -> None:
    warmup = data.draw(st.integers(0, steps - 1))
    schedule = Schedule(kind=kind, steps=steps, warmup_steps=warmup, final_fraction=final)
    rates = [learning_rate(schedule, 1.0, step) for step in range(steps + 3)]
    assert rates[warmup] == pytest.approx(1.0)
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    decays = kind != "wsd" or round(schedule.decay_fraction * steps) > 0
    if steps - warmup > 1 and decays:
        assert rates[steps - 1 :] == pytest.approx([final] * 4)
