"""Runs: parts of a tensor that are consecutive in row-major order, as partitions that ignore shapes hold them.

A shard is a block of its logical tensor, or a run: then its `offset` is one number, the first element, for a tensor of
more dimensions. A run consists of few blocks: a part of a row, whole rows, a part of a row. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """`shape` elements from `offset` of the whole on; among those of the shard they are `elements` from `first` on."""

    first: int
    offset: Shape
    shape: Shape

    @property
    def elements(self) -> slice:
        return slice(self.first, self.first + math.prod(self.shape))

    @property
    def region(self) -> tuple[slice, ...]:
        """Of the whole."""
        return tuple(slice(at, at + size) for at, size in zip(self.offset, self.shape, strict=True))


def blocks(offset: Shape, shape: Shape, global_shape: Shape) -> Iterator[Block]:
    """The blocks that a shard consists of, in the order of its elements: itself, if it is one."""
    if len(offset) == len(global_shape):
        yield Block(first=0, offset=offset, shape=shape)
        return
    (start,), (count,) = offset, shape
    first = 0
    for place, size in _of_run(start, count, global_shape):
        yield Block(first=first, offset=place, shape=size)
        first += math.prod(size)


def _of_run(start: int, count: int, shape: Shape) -> Iterator[tuple[Shape, Shape]]:
    """Offset and shape of the blocks of a run of a tensor of `shape`."""
    if len(shape) == 1:
        if count:
            yield (start,), (count,)
        return
    row, (index, within) = math.prod(shape[1:]), divmod(start, math.prod(shape[1:]))
    if within or count < row:  # a part of the first row
        part = min(row - within, count)
        yield from (((index, *o), (1, *s)) for o, s in _of_run(within, part, shape[1:]))
        index, count = index + 1, count - part
    if count >= row:
        whole = count // row
        yield (index, *(0 for _ in shape[1:])), (whole, *shape[1:])
        index, count = index + whole, count - whole * row
    if count:
        yield from (((index, *o), (1, *s)) for o, s in _of_run(0, count, shape[1:]))
