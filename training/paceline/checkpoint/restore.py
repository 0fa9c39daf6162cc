"""Fill the live state of a rank from shard files, whatever the layout they were written in.

Every live shard and every stored shard is a block of a logical tensor; what they have in common is copied. When the
layouts are equal this is one copy per tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paceline.checkpoint.shard_file import Shard, parse
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.spec.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from paceline.engines.base import LogicalShard


def fill(state: Mapping[str, LogicalShard], files: Sequence[tuple[str, memoryview]]) -> int:
    """Copy from `files` (name for messages, content as a writable buffer) into `state`; bytes copied.

    Raises CheckpointError naming the tensor when any element of `state` is in no file, or shapes disagree.
    """
    # keyed by place: what is replicated lies in several files and is needed once
    stored: dict[str, dict[object, tuple[Shard, torch.Tensor]]] = {}
    for source, content in files:
        for shard, start in parse(content, source).shards:
            blocks = stored.setdefault(shard.name, {})
            blocks.setdefault((shard.offset, shard.shape), (shard, tensor_at(content, shard, start)))
    copied = 0
    for name, live in state.items():
        wanted = describe(name, live)
        elements = 0
        for shard, tensor in stored.get(name, {}).values():
            if shard.global_shape != wanted.global_shape:
                raise CheckpointError(
                    f"{name}: the checkpoint holds shape {shard.global_shape}, the model has {wanted.global_shape}",
                    "resume with the recipe that wrote the checkpoint",
                )
            elements += _copy_common(wanted, live.tensor, shard, tensor)
        if elements != math.prod(wanted.shape):
            raise CheckpointError(
                f"{name}: the checkpoint holds {elements} of the {math.prod(wanted.shape)} elements needed here",
                "take an older checkpoint, or the recipe that wrote this one",
            )
        copied += wanted.bytes
    return copied


def _copy_common(wanted: Shard, live: torch.Tensor, shard: Shard, tensor: torch.Tensor) -> int:
    """Copy the block that both have; the number of elements in it."""
    into, out = [], []
    for axis in range(len(wanted.shape)):
        low = max(wanted.offset[axis], shard.offset[axis])
        high = min(wanted.offset[axis] + wanted.shape[axis], shard.offset[axis] + shard.shape[axis])
        if high <= low:
            return 0
        into.append(slice(low - wanted.offset[axis], high - wanted.offset[axis]))
        out.append(slice(low - shard.offset[axis], high - shard.offset[axis]))
    target = live.detach()[tuple(into)]
    target.copy_(tensor[tuple(out)])
    return target.numel()
