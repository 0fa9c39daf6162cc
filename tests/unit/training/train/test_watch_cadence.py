"""How often the state is checked, from what checks and steps take."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.recipe.watch import SentinelChoice
from paceline.train.watch_cadence import WatchCadence


class Rank:
    """A rank on a clock of its own, whose steps and seals take what is said. An engine, as far as it is asked."""

    def __init__(self, choice: SentinelChoice, *, seal: float, step: float, world_size: int = 1) -> None:
        self.cadence = WatchCadence(choice, world_size, clock=lambda: self.now)
        self.now = 0.0
        self.seal_seconds = seal
        self.step_seconds = step
        self.syncs = self.checks = 0

    def seal(self) -> None:
        self.now += self.seal_seconds
        self.checks += 1

    def sync(self) -> None:
        self.syncs += 1


def train(steps: int, *ranks: Rank) -> list[tuple[float, float]]:
    """What the first of them tells of changes."""
    told = []
    for step in range(1, steps + 1):
        sums = [sum(costs) for costs in zip(*(rank.cadence.costs for rank in ranks), strict=True)]
        for rank in ranks:
            rank.now += rank.step_seconds
            found = rank.cadence.step_done(sums)
            if found is not None and rank is ranks[0]:
                told.append(found)
            if step % rank.cadence.every == 0:
                engine: Any = rank
                rank.cadence.seal(engine)
        assert len({rank.cadence.every for rank in ranks}) == 1, "all ranks check the same steps"
    return told


@given(
    seal=st.floats(1e-4, 10.0),
    step=st.floats(1e-3, 100.0),
    overhead=st.floats(0.001, 1.0),
    every=st.integers(1, 20),
)
def test_checks_take_no_more_than_their_share(seal: float, step: float, overhead: float, every: int) -> None:
    rank = Rank(SentinelChoice(every=every, overhead=overhead), seal=seal, step=step)
    train(every * 8, rank)
    assert rank.cadence.every >= every
    assert 2 * seal / rank.cadence.every <= overhead * (step + seal) * 1.001
    denser = rank.cadence.every - 1
    assert denser < every or 2 * seal / denser >= overhead * step * 0.999, "and as often as that allows"


def test_ranks_that_differ_keep_the_cadence_of_their_mean() -> None:
    choice = SentinelChoice(overhead=0.01)
    fast, slow = (Rank(choice, seal=seal, step=1.0, world_size=2) for seal in (0.01, 0.03))
    assert train(20, fast, slow) == [pytest.approx((0.04, 1.02), rel=0.01)]
    assert fast.cadence.every == slow.cadence.every == math.ceil(0.04 / 1.02 / 0.01)


def test_a_job_that_becomes_faster_is_checked_less_often() -> None:
    rank = Rank(SentinelChoice(), seal=0.001, step=1.0)
    assert train(100, rank) == []
    rank.step_seconds = 0.1
    assert len(train(200, rank)) == 1
    assert rank.cadence.every == 4


def test_the_device_is_waited_for_ever_more_seldom() -> None:
    rank = Rank(SentinelChoice(), seal=0.001, step=1.0)
    train(5000, rank)
    assert rank.checks == 5000
    assert rank.syncs == 2 * len([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2024, 3024, 4024])
