"""Not a module of NeuronX Distributed: the collectives at the borders of its layers, with their transposes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

Group = ProcessGroup


def copy(tensor: Tensor, group: Group) -> Tensor:
    return _run(_Copy, tensor, group)


def reduce(tensor: Tensor, group: Group) -> Tensor:
    return _run(_Reduce, tensor, group)


def gather(tensor: Tensor, dimension: int, group: Group) -> Tensor:
    return _run(_Gather, tensor, group, dimension)


def scatter(tensor: Tensor, dimension: int, group: Group) -> Tensor:
    return _run(_Scatter, tensor, group, dimension)


def _run(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return result


def _sum(tensor: Tensor, group: Group) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total


def _join(tensor: Tensor, dimension: int, group: Group) -> Tensor:
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(group.size())]
    dist.all_gather(parts, tensor.contiguous(), group=group)
    return torch.cat(parts, dimension)


def _part(tensor: Tensor, dimension: int, group: Group) -> Tensor:
    return tensor.chunk(group.size(), dimension)[group.rank()].contiguous()


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _sum(gradient, ctx.group), None


class _Reduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        return _sum(tensor, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group, dimension: int) -> Tensor:
        ctx.group, ctx.dimension = group, dimension
        return _join(tensor, dimension, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _part(_sum(gradient, ctx.group), ctx.dimension, ctx.group), None, None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group, dimension: int) -> Tensor:
        ctx.group, ctx.dimension = group, dimension
        return _part(_sum(tensor, group), dimension, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _join(gradient, ctx.dimension, ctx.group), None, None
