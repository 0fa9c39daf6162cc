"""Logical tensors: where the local storage of sharded parameters and of their optimizer state lies in the whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.distributed.tensor import DTensor, Shard

from paceline.engines.base import LogicalShard
from paceline.models.sharding import ShardingPlan


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


def logical(name: str, parameter: LogicalShard, plan: ShardingPlan) -> Iterator[tuple[str, LogicalShard]]:
    """The logical tensors that lie in parameter `name`: itself, or one per expert whose slices it holds.

    Every rank names all experts; of those that are elsewhere it holds an empty part.
    """
    if plan.expert_tensor(name, 0) is None:
        yield name, parameter
        return
    experts, *shape = parameter.global_shape
    first, *offset = parameter.offset
    for expert in range(experts):
        own = parameter.tensor[expert - first : expert - first + 1] if expert >= first else parameter.tensor[:0]
        slice_name = plan.expert_tensor(name, expert)
        assert slice_name is not None
        yield slice_name, LogicalShard(tensor=own.flatten(0, 1), global_shape=tuple(shape), offset=tuple(offset))


def beside(tensor: torch.Tensor, parameter: LogicalShard) -> LogicalShard:
    """Optimizer state `tensor` of `parameter`: laid out like it, or a scalar that all ranks hold."""
    if tensor.dim() == 0:
        return LogicalShard(tensor=tensor, global_shape=(), offset=())
    return LogicalShard(tensor=tensor, global_shape=parameter.global_shape, offset=parameter.offset)
