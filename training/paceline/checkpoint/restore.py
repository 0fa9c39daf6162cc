"""Fill the live state of a rank from shard files, whatever the layout they were written in.

Every live shard and every stored shard is a block of a logical tensor, or a run of few; what they have in common is
copied. When the layouts are equal this is one copy per tensor. Out of storage only those parts of the files are read
that have something in common with the live state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from paceline.checkpoint.blocks import BLOCK_BYTES, Range
from paceline.checkpoint.shard_file import ITEM_BYTES, Shard, ShardFileLayout, parse
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.engines.runs import Block, Shape
from paceline.spec.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from paceline.checkpoint.repository import CheckpointRepository
    from paceline.engines.base import LogicalShard
    from paceline.spec.manifest import CheckpointFile


def fill(state: Mapping[str, LogicalShard], files: Iterable[tuple[str, memoryview]]) -> int:
    """Copy from `files` (name for messages, content as a writable buffer) into `state`; bytes copied.

    The files are taken one at a time, and no more than are needed. Raises CheckpointError naming the tensor when any
    element of `state` is in no file, or shapes disagree.
    """
    return _Filling(state).take(files)


def fill_from(
    repository: CheckpointRepository, step: int, files: Iterable[CheckpointFile], state: Mapping[str, LogicalShard]
) -> int:
    """As `fill`, from `files` of a checkpoint, of which no more is read than is needed."""
    filling = _Filling(state)
    return filling.take(repository.contents(step, files, filling.needs))


class _Filling:
    """The live state of a rank, and what of it was found so far."""

    def __init__(self, state: Mapping[str, LogicalShard]) -> None:
        self._state = state
        self._wanted = {name: describe(name, live) for name, live in state.items()}
        self._found = dict.fromkeys(self._wanted, 0)
        self._copied: set[tuple[str, Shape, Shape]] = set()

    def take(self, files: Iterable[tuple[str, memoryview]]) -> int:
        for source, content in files:
            for shard, start in self._useful(parse(content, source)):
                self._copied.add((shard.name, shard.offset, shard.shape))
                wanted, live = self._wanted[shard.name], self._state[shard.name].tensor
                self._found[shard.name] += _copy_common(wanted, live, shard, tensor_at(content, shard, start))
            if all(self._found[name] == math.prod(shard.shape) for name, shard in self._wanted.items()):
                break
        for name, shard in self._wanted.items():
            if self._found[name] != math.prod(shard.shape):
                raise CheckpointError(
                    f"{name}: the checkpoint holds {self._found[name]} of the {math.prod(shard.shape)} elements "
                    "needed here",
                    "take an older checkpoint, or the recipe that wrote this one",
                )
        return sum(shard.bytes for shard in self._wanted.values())

    def needs(self, layout: ShardFileLayout) -> Iterator[Range]:
        """Where in a file of this layout lies what `take` copies."""
        for shard, start in self._useful(layout):
            size = ITEM_BYTES[shard.dtype]
            for here in self._wanted[shard.name].blocks():
                for there in shard.blocks():
                    low, high = _common(here, there)
                    for first, stop in _spans(there.shape, low, high, BLOCK_BYTES // size):
                        at = start + there.first * size
                        yield at + first * size, at + stop * size

    def _useful(self, layout: ShardFileLayout) -> Iterator[tuple[Shard, int]]:
        """The shards of tensors that are wanted, by place: what is replicated lies in several files."""
        for shard, start in layout.shards:
            if shard.name not in self._wanted or (shard.name, shard.offset, shard.shape) in self._copied:
                continue
            if shard.global_shape != self._wanted[shard.name].global_shape:
                raise CheckpointError(
                    f"{shard.name}: the checkpoint holds shape {shard.global_shape}, the model has "
                    f"{self._wanted[shard.name].global_shape}",
                    "resume with the recipe that wrote the checkpoint",
                )
            yield shard, start


def _common(wanted: Block, stored: Block) -> tuple[Shape, Shape]:
    """What both have, in the coordinates of `stored`: along each axis the first, and the one behind the last."""
    low = tuple(max(w - s, 0) for w, s in zip(wanted.offset, stored.offset, strict=True))
    ends = zip(wanted.offset, wanted.shape, stored.offset, stored.shape, strict=True)
    return low, tuple(min(w + size - s, there) for w, size, s, there in ends)


def _spans(shape: Shape, low: Shape, high: Shape, least: int) -> Iterator[Range]:
    """The region from `low` to `high` of a tensor of `shape` as ranges of elements in row-major order. What lies nearer
    together than `least` elements is one range."""
    if any(end <= begin for begin, end in zip(low, high, strict=True)):
        return
    row = math.prod(shape[1:])
    if row < least or (low[1:], high[1:]) == ((0,) * len(low[1:]), shape[1:]):
        yield _flat(shape, low), _flat(shape, tuple(end - 1 for end in high)) + 1
        return
    for index in range(low[0], high[0]):
        yield from ((index * row + a, index * row + b) for a, b in _spans(shape[1:], low[1:], high[1:], least))


def _flat(shape: Shape, index: Shape) -> int:
    place = 0
    for size, at in zip(shape, index, strict=True):
        place = place * size + at
    return place


def _copy_common(wanted: Shard, live: torch.Tensor, shard: Shard, tensor: torch.Tensor) -> int:
    """Copy what both have; the number of elements in it."""
    if (wanted.offset, wanted.shape) == (shard.offset, shard.shape):
        live.detach().copy_(tensor)
        return live.numel()
    return sum(
        _copy_block(here, live.detach().view(-1)[here.elements], there, tensor.view(-1)[there.elements])
        for here in wanted.blocks()
        for there in shard.blocks()
    )


def _copy_block(wanted: Block, live: torch.Tensor, stored: Block, tensor: torch.Tensor) -> int:
    low, high = _common(wanted, stored)
    if any(end <= begin for begin, end in zip(low, high, strict=True)):
        return 0
    shift = [s - w for s, w in zip(stored.offset, wanted.offset, strict=True)]
    into = tuple(slice(a + by, b + by) for a, b, by in zip(low, high, shift, strict=True))
    target = live.view(wanted.shape)[into]
    target.copy_(tensor.view(stored.shape)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    return target.numel()
