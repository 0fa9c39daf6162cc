"""Fill the live state of a rank from shard files, whatever the layout they were written in.

Every live shard and every stored shard is a block of a logical tensor, or a run of few; what they have in common is
copied. When the layouts are equal this is one copy per tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from paceline.checkpoint.shard_file import Shard, parse
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.engines.runs import Block
from paceline.spec.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from paceline.engines.base import LogicalShard


def fill(state: Mapping[str, LogicalShard], files: Iterable[tuple[str, memoryview]]) -> int:
    """Copy from `files` (name for messages, content as a writable buffer) into `state`; bytes copied.

    The files are taken one at a time, and no more than are needed. Raises CheckpointError naming the tensor when any
    element of `state` is in no file, or shapes disagree.
    """
    wanted = {name: describe(name, live) for name, live in state.items()}
    found = dict.fromkeys(wanted, 0)
    copied: set[tuple[str, tuple[int, ...], tuple[int, ...]]] = set()
    for source, content in files:
        if all(found[name] == math.prod(shard.shape) for name, shard in wanted.items()):
            break
        for shard, start in parse(content, source).shards:
            # by place: what is replicated lies in several files and is needed once
            place = (shard.name, shard.offset, shard.shape)
            if shard.name not in wanted or place in copied:
                continue
            copied.add(place)
            if shard.global_shape != wanted[shard.name].global_shape:
                raise CheckpointError(
                    f"{shard.name}: the checkpoint holds shape {shard.global_shape}, the model has "
                    f"{wanted[shard.name].global_shape}",
                    "resume with the recipe that wrote the checkpoint",
                )
            tensor = tensor_at(content, shard, start)
            found[shard.name] += _copy_common(wanted[shard.name], state[shard.name].tensor, shard, tensor)
    for name, shard in wanted.items():
        if found[name] != math.prod(shard.shape):
            raise CheckpointError(
                f"{name}: the checkpoint holds {found[name]} of the {math.prod(shard.shape)} elements needed here",
                "take an older checkpoint, or the recipe that wrote this one",
            )
    return sum(shard.bytes for shard in wanted.values())


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
    into, out = [], []
    for axis in range(len(wanted.shape)):
        low = max(wanted.offset[axis], stored.offset[axis])
        high = min(wanted.offset[axis] + wanted.shape[axis], stored.offset[axis] + stored.shape[axis])
        if high <= low:
            return 0
        into.append(slice(low - wanted.offset[axis], high - wanted.offset[axis]))
        out.append(slice(low - stored.offset[axis], high - stored.offset[axis]))
    target = live.view(wanted.shape)[tuple(into)]
    target.copy_(tensor.view(stored.shape)[tuple(out)])
    return target.numel()
