"""Sequences of whole conversations: short ones share a sequence, none is cut.

Best fit decreasing, as Ding et al. (2024, "Fewer truncations improve language modeling") pack documents: the longest
first, each into the fullest sequence that still has room for it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEARNED = 1 << 31
"""The bit of a uint32 token that says that it is learned; vocabularies have fewer than 2**31 tokens."""

Tokens = NDArray[np.uint32]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Which of the things with these `lengths`, none above `capacity`, go together; the same ones always do."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (what is left, row), ascending
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        assert lengths[number] <= capacity
        place = bisect_left(room, (lengths[number], 0))
        if place == len(room):
            left, row = capacity, len(rows)
            rows.append([])
        else:
            left, row = room.pop(place)
        rows[row].append(number)
        insort(room, (left - lengths[number], row))
    return rows


def fill(parts: Sequence[Tokens], length: int, end_of_text: int) -> Tokens:
    """A sequence of `length` tokens: `parts`, each followed by `end_of_text`, and more of them up to the end."""
    row = np.full(length, end_of_text, dtype=np.uint32)
    at = 0
    for part in parts:
        row[at : at + len(part)] = part
        at += len(part) + 1
    return row
