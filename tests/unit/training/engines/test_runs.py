"""A run of a tensor's elements is a few blocks, and blocks of it are what it was."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paceline.engines.runs import Block, blocks


@st.composite
def runs(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int]:
    """A shape, and the first element and the length of a run in it."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    start = draw(st.integers(0, math.prod(shape)))
    return shape, start, draw(st.integers(0, math.prod(shape) - start))


@given(runs())
def test_the_blocks_of_a_run_are_its_elements_in_their_order(run: tuple[tuple[int, ...], int, int]) -> None:
    shape, start, count = run
    whole = np.arange(math.prod(shape)).reshape(shape)
    held = np.empty(count, dtype=whole.dtype)

    for block in blocks((start,), (count,), shape):
        assert math.prod(block.shape) > 0 or len(shape) == 1
        held[block.elements] = whole[block.region].reshape(-1)

    assert held.tolist() == list(range(start, start + count))
    assert len(list(blocks((start,), (count,), shape))) <= max(2 * len(shape) - 1, 1)


def test_a_block_is_its_own_only_block() -> None:
    assert list(blocks((2, 0), (3, 4), (8, 4))) == [Block(first=0, offset=(2, 0), shape=(3, 4))]


def test_a_scalar_is_a_block() -> None:
    assert list(blocks((), (), ())) == [Block(first=0, offset=(), shape=())]
