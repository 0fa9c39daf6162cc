"""Collectives by lists of ranks, on gloo. A step ends at once, and its closures run when it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

REDUCE_SUM, REDUCE_MAX, REDUCE_MIN = "sum", "max", "min"

_OPS = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX, "min": dist.ReduceOp.MIN}
_groups: dict[tuple[object, tuple[tuple[int, ...], ...]], dist.ProcessGroup] = {}
_closures: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
Groups = Sequence[Sequence[int]] | None


def xla_device(n: int | None = None, devkind: str | None = None) -> torch.device:
    return torch.device("cpu")


def mark_step(wait: bool = False, reset_scope: bool = True) -> None:
    run, _closures[:] = list(_closures), []
    for closure, args in run:
        closure(*args)


def wait_device_ops(devices: Sequence[str] = []) -> None:  # as it is there
    """Nothing is ever under way."""


def add_step_closure(closure: Callable[..., Any], args: tuple[Any, ...] = (), run_async: bool = False) -> None:
    _closures.append((closure, args))


def rendezvous(tag: str, payload: bytes = b"", replicas: Sequence[int] = []) -> None:
    dist.barrier()


def is_master_ordinal(local: bool = True) -> bool:
    return dist.get_rank() == 0


def unlazy(tensors: Sequence[Tensor]) -> None:
    """Nothing is lazy."""


def all_reduce(
    reduce_type: str,
    inputs: Tensor | list[Tensor],
    scale: float = 1.0,
    groups: Groups = None,
    pin_layout: bool = True,
) -> Tensor | list[Tensor]:
    several = inputs if isinstance(inputs, list) else [inputs]
    results = several if isinstance(inputs, list) else [inputs.clone()]
    for tensor in results:
        dist.all_reduce(tensor, _OPS[reduce_type], group=_group(groups))
        if scale != 1.0:
            tensor.mul_(scale)
    return results if isinstance(inputs, list) else results[0]


def all_gather(
    value: Tensor,
    dim: int = 0,
    groups: Groups = None,
    output: Tensor | None = None,
    pin_layout: bool = True,
    channel_id: int | None = None,
    use_global_device_ids: bool | None = None,
) -> Tensor:
    group = _group(groups)
    parts = [torch.empty_like(value) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, value.contiguous(), group=group)
    return torch.cat(parts, dim=dim)


def reduce_scatter(
    reduce_type: str,
    input: Tensor,
    scale: float,
    scatter_dim: int,
    shard_count: int,
    groups: Groups = None,
    output: Tensor | None = None,
    pin_layout: bool = True,
    channel_id: int | None = None,
    use_global_device_ids: bool | None = None,
) -> Tensor:
    group = _group(groups)
    total = input.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, _OPS[reduce_type], group=group)
    part = total.chunk(shard_count, dim=scatter_dim)[dist.get_rank(group)] * scale
    return part if output is None else output.copy_(part)


def _group(groups: Groups) -> dist.ProcessGroup | None:
    """The one of `groups` that this rank is in, opened once; all ranks open all, in the same order."""
    if groups is None:
        return None
    every = tuple(tuple(ranks) for ranks in groups)
    key = (dist.group.WORLD, every)  # a standby rehearses in a world of its own before it joins that of its peers
    if key not in _groups:
        for ranks in every:
            opened = dist.new_group(list(ranks), backend="gloo")
            if dist.get_rank() in ranks:
                _groups[key] = opened
    return _groups[key]


def forget_groups() -> None:
    """Not a name of torch-xla: what a test calls when it leaves the default process group."""
    _groups.clear()
    _closures.clear()
