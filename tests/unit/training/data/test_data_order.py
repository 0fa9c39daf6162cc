"""The order: a permutation in every epoch, invertible, the same for ever."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.data.order import SampleOrder

SIZES = st.integers(1, 5000)
SEEDS = st.integers(0, 2**63)
EPOCHS = st.integers(0, 10_000)

# (epoch, sample) for seed 0 over 10 samples at 0..19, and for seed 1234 over 1,000,003 samples
KNOWN_SMALL = [(0, s) for s in (8, 4, 5, 0, 2, 7, 9, 1, 3, 6)] + [(1, s) for s in (4, 6, 3, 8, 9, 0, 1, 5, 7, 2)]
KNOWN_LARGE = [(0, 822118), (0, 427556), (0, 392972), (1, 26503), (999997, 273655)]


@given(SIZES, SEEDS, EPOCHS)
def test_every_epoch_visits_every_sample_once(size: int, seed: int, epoch: int) -> None:
    order = SampleOrder(seed=seed, num_samples=size)
    visited = [order.at(epoch * size + position) for position in range(size)]
    assert {e for e, _ in visited} == {epoch}
    assert sorted(sample for _, sample in visited) == list(range(size))


@given(st.integers(1, 2**50), SEEDS, st.integers(0, 2**62))
def test_the_inverse_finds_the_position(size: int, seed: int, index: int) -> None:
    order = SampleOrder(seed=seed, num_samples=size)
    epoch, sample = order.at(index)
    assert 0 <= sample < size
    assert order.index_of(epoch, sample) == index


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 257])
def test_sizes_around_the_powers_of_two(size: int) -> None:
    order = SampleOrder(seed=7, num_samples=size)
    assert sorted(order.at(position)[1] for position in range(size)) == list(range(size))


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(SampleOrder(seed=seed, num_samples=100).at(epoch * 100 + p)[1] for p in range(100))
        for seed in range(10)
        for epoch in range(10)
    }
    assert len(orders) == 100


def test_each_sample_comes_at_each_position_equally_often() -> None:
    size, epochs = 10, 4000
    order = SampleOrder(seed=1, num_samples=size)
    seen = Counter((p, order.at(e * size + p)[1]) for e in range(epochs) for p in range(size))
    expected = epochs / size
    chi_square = sum((seen[p, s] - expected) ** 2 / expected for p in range(size) for s in range(size))
    assert chi_square < 126  # the 0.1 % point for 81 degrees of freedom


def test_neighbours_are_scattered() -> None:
    size = 100_000
    order = SampleOrder(seed=2, num_samples=size)
    samples = [order.at(position)[1] for position in range(2000)]
    mean_jump = sum(abs(a - b) for a, b in pairwise(samples)) / 1999
    assert mean_jump == pytest.approx(size / 3, rel=0.1)  # as for independent uniform draws


def test_known_answers() -> None:
    """These must never change: every checkpoint depends on them."""
    order = SampleOrder(seed=0, num_samples=10)
    assert [order.at(index) for index in range(20)] == KNOWN_SMALL
    order = SampleOrder(seed=1234, num_samples=1_000_003)
    assert [order.at(index) for index in (0, 1, 1_000_002, 1_000_003, 10**12)] == KNOWN_LARGE
