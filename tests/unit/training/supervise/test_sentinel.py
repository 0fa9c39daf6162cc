"""Who is convicted by what the ranks testify."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engines.watch import Testimony as Said
from paceline.plan.layout import Layout
from paceline.supervise.anomaly import AnomalyRule
from paceline.supervise.sentinel import Judgement, judge_state, judge_work, partner, suspect_work


def layout(dp_shard: int, **degrees: int) -> Layout:
    world = dp_shard
    for degree in degrees.values():
        world *= degree
    fields: dict[str, Any] = {"world_size": world, "dp_shard": dp_shard, **degrees}
    return Layout(sequences_per_rank=1, micro_sequences=1, micro_steps=1, **fields)


def truth(at: Layout, distances: tuple[int, ...] = (1, 2)) -> list[Said]:
    """What honest ranks say, each having recomputed as many partners."""
    passes = [1000 + rank for rank in range(at.world_size)]
    said = []
    for rank in range(at.world_size):
        found = [passes[partner(at, rank, distance)] for distance in distances] + [0, 0]
        own = passes[rank] if distances else 0
        said.append(Said(state=7, altered=False, loss=5, passes=own, partners=(found[0], found[1])))
    return said


LAYOUTS = [layout(2), layout(3), layout(4), layout(2, dp_replicate=2), layout(3, tp=2), layout(2, cp=2, tp=2)]
worlds = st.sampled_from(LAYOUTS)


@given(worlds, st.data())
def test_a_partner_is_in_the_same_place_of_another_data_rank(at: Layout, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, at.world_size - 1))
    width = at.cp * at.tp
    other = partner(at, rank, 1)
    assert other % width == rank % width
    assert at.data_rank(other) == (at.data_rank(rank) - 1) % at.data_ranks
    assert {partner(at, r, 1) for r in range(at.world_size)} == set(range(at.world_size))


@given(worlds)
def test_honest_ranks_are_not_suspected(at: Layout) -> None:
    said = truth(at, (1,))
    assert judge_state(said, at) is None
    assert suspect_work(said, at) is None
    assert judge_work(said, said, at).outcome == "reproduced"


@settings(max_examples=200)
@given(worlds, st.data())
def test_a_rank_that_was_wrong_once_is_convicted(at: Layout, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(0, at.world_size - 1))
    first = truth(at, (1,))
    if data.draw(st.booleans()):
        first[guilty] = replace(first[guilty], passes=1)
    else:
        first[guilty] = replace(first[guilty], partners=(1, 0))
    assert suspect_work(first, at) is not None
    again = truth(at) if at.data_ranks > 2 else truth(at, (1,))
    assert judge_work(first, again, at).ranks == (guilty,)


@given(worlds.filter(lambda at: at.data_ranks > 2), st.data())
def test_of_three_one_that_is_always_wrong_is_convicted(at: Layout, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(0, at.world_size - 1))
    first, again = truth(at, (1,)), truth(at)
    first[guilty] = replace(first[guilty], passes=1, partners=(2, 0))
    again[guilty] = replace(again[guilty], passes=1, partners=(2, 3))
    assert judge_work(first, again, at).ranks == (guilty,)


def test_of_two_one_that_is_always_wrong_in_the_same_way_cannot_be_told() -> None:
    at = layout(2)
    said = truth(at, (1,))
    said[1] = replace(said[1], passes=1, partners=(2, 0))
    judged = judge_work(said, said, at)
    assert (judged.outcome, judged.ranks) == ("convicted", ())


def test_an_anomaly_is_explained_by_the_loss_that_does_not_come_again() -> None:
    at = layout(3)
    first = truth(at, ())
    assert judge_work(first, truth(at), at).outcome == "reproduced"
    first[2] = replace(first[2], loss=6)
    assert judge_work(first, truth(at), at).ranks == (2,)


def test_kernels_that_never_give_the_same_convict_nobody() -> None:
    at = layout(2)
    first, again = truth(at, (1,)), [replace(s, passes=s.passes + 1) for s in truth(at, (1,))]
    assert judge_work(first, again, at).outcome == "irreproducible"


@pytest.mark.parametrize(
    ("at", "wrong", "expected"),
    [
        (layout(2), {1: "altered"}, (1,)),
        (layout(1), {0: "altered"}, (0,)),
        (layout(2), {0: "altered", 1: "altered"}, ()),
        (layout(1, dp_replicate=3), {2: "state"}, (2,)),
        (layout(2, dp_replicate=3), {1: "state"}, (1,)),
        (layout(2, dp_replicate=2), {1: "state"}, ()),
        (layout(2, dp_replicate=2), {1: "state", 3: "state"}, None),  # replicas of each other, and equal
    ],
)
def test_state_that_is_not_what_it_was_or_not_what_replicas_hold(
    at: Layout, wrong: dict[int, str], expected: tuple[int, ...] | None
) -> None:
    said = truth(at, ())
    for rank, what in wrong.items():
        said[rank] = replace(said[rank], altered=True) if what == "altered" else replace(said[rank], state=8)
    judged = judge_state(said, at)
    assert (judged.ranks if isinstance(judged, Judgement) else None) == expected


def test_a_leap_is_suspicious_once_there_is_enough_to_compare_with() -> None:
    rule = AnomalyRule("loss")
    assert [rule.suspicion(9.0 if step < 5 else 3.0 + step % 3 / 100) for step in range(60)] == [None] * 60
    assert rule.suspicion(4.5) is not None
    assert rule.suspicion(4.5) is None, "it learns anew"


@given(st.lists(st.floats(1.0, 1.19), min_size=40, max_size=120))
def test_noise_is_not_suspicious(values: list[float]) -> None:
    """Nor what hardly moved before: 20 deviations, and one counts for 1 % at least, are a fifth above any median."""
    rule = AnomalyRule("gradient norm")
    assert [rule.suspicion(value) for value in values] == [None] * len(values)


def test_what_is_not_finite_is_asked_about_once() -> None:
    rule = AnomalyRule("loss")
    told = [rule.suspicion(value) is not None for value in (1.0, float("nan"), float("inf"), 1.0, float("nan"))]
    assert told == [False, True, False, False, True]
