"""Logical tensors: where the local storage of sharded parameters and of their optimizer state lies in the whole."""

from __future__ import annotations

import torch
from torch.distributed.tensor import DTensor, Shard

from paceline.engines.base import LogicalShard


@torch.no_grad()
def place(parameter: torch.Tensor) -> LogicalShard:
    """The local rows of a parameter that FSDP2 sharded over a one-dimensional mesh.

    Rows are dealt in equal chunks of ceil(rows / ranks); the last ranks may hold fewer, or none (`torch.chunk`).
    """
    assert isinstance(parameter, DTensor) and parameter.placements == (Shard(0),)
    rows = parameter.shape[0]
    chunk = -(-rows // parameter.device_mesh.size())
    first = min(parameter.device_mesh.get_local_rank() * chunk, rows)
    return LogicalShard(
        tensor=parameter.to_local().detach(),
        global_shape=tuple(parameter.shape),
        offset=(first,) + (0,) * (parameter.dim() - 1),
    )


def beside(tensor: torch.Tensor, parameter: LogicalShard) -> LogicalShard:
    """Optimizer state `tensor` of `parameter`: laid out like it, or a scalar that all ranks hold."""
    if tensor.dim() == 0:
        return LogicalShard(tensor=tensor, global_shape=(), offset=())
    return LogicalShard(tensor=tensor, global_shape=parameter.global_shape, offset=parameter.offset)
