"""Packing: nothing is lost, cut or overfull."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paceline.data.packing import fill, pack


@given(st.lists(st.integers(1, 20), max_size=60))
def test_everything_is_in_one_row_and_no_row_is_overfull(lengths: list[int]) -> None:
    rows = pack(lengths, 20)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 20 for row in rows)


def test_the_fullest_row_that_has_room_is_taken() -> None:
    assert pack([12, 15, 8, 5], 20) == [[1, 3], [0, 2]]


def test_a_row_ends_every_part_and_is_filled_up() -> None:
    row = fill([np.array([5, 6], dtype=np.uint32), np.array([7], dtype=np.uint32)], 8, 0)
    assert row.tolist() == [5, 6, 0, 7, 0, 0, 0, 0]
