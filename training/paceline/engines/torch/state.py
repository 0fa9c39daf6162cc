"""Logical tensors: where the local storage of sharded parameters and of their optimizer state lies in the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Shard

from paceline.engines.base import LogicalShard
from paceline.engines.torch.mesh import ALONE, Axis, Mesh
from paceline.models.sharding import ShardingPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What this rank holds of a parameter, before data ranks shard it: the block from `offset` of `global_shape`.

    `name` is that of its logical tensor. The parallelisms note here what they do to it: `shards` are the data ranks
    that shard the block, `copies` the number of ranks that hold the same elements, and what each of the ranks of
    `summed_over` has for a gradient is a part of it.
    """

    name: str
    global_shape: tuple[int, ...]
    offset: tuple[int, ...]
    copies: int
    shards: Axis = ALONE
    summed_over: tuple[Axis, ...] = ()


Holdings = dict[str, Holding]


def whole(model: nn.Module, mesh: Mesh) -> Holdings:
    """Every parameter of `model`, by name, as it is before anything is split."""
    copies = mesh.layout.dp_replicate * mesh.tp.size
    return {
        name: Holding(name=name, global_shape=tuple(parameter.shape), offset=(0,) * parameter.dim(), copies=copies)
        for name, parameter in model.named_parameters()
    }


def part(holding: Holding, dimension: int, axis: Axis) -> tuple[Holding, tuple[int, ...]]:
    """This rank's equal chunk of a whole `holding` along `dimension`, and its shape; the last chunks may be short."""
    assert not any(holding.offset)
    size, shape = holding.global_shape[dimension], list(holding.global_shape)
    chunk = -(-size // axis.size)
    first = min(axis.rank * chunk, size)
    shape[dimension] = min(first + chunk, size) - first
    offset = (*holding.offset[:dimension], first, *holding.offset[dimension + 1 :])
    return replace(holding, offset=offset), tuple(shape)


@torch.no_grad()
def place(parameter: torch.Tensor, holding: Holding) -> LogicalShard:
    """The local block of a parameter that FSDP2 sharded, of which this rank's data ranks together have `holding`.

    FSDP2 deals equal chunks of ceil(size / ranks); the last ranks may hold less, or nothing (`torch.chunk`). What it
    was told to leave alone is here as it is.
    """
    if not isinstance(parameter, DTensor):
        return LogicalShard(tensor=parameter.detach(), global_shape=holding.global_shape, offset=holding.offset)
    placement = parameter.placements[-1]
    assert isinstance(placement, Shard)
    size = parameter.shape[placement.dim]
    chunk = -(-size // holding.shards.size)
    offset = list(holding.offset)
    # not from the parameter's mesh: caches of DTensor may put one there that an earlier generation had
    offset[placement.dim] += min(holding.shards.rank * chunk, size)
    return LogicalShard(tensor=parameter.to_local().detach(), global_shape=holding.global_shape, offset=tuple(offset))


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
    """Optimizer state `tensor` of `parameter`: laid out like it, of as many rows, or a scalar that all ranks hold."""
    if tensor.dim() == 0:
        return LogicalShard(tensor=tensor, global_shape=(), offset=())
    shape = parameter.global_shape
    if tensor.shape != parameter.tensor.shape:
        shape = (*shape[:-1], tensor.shape[-1])
    return LogicalShard(tensor=tensor, global_shape=shape, offset=parameter.offset)
