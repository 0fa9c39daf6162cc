"""Collectives that gradients flow through. Each comes with its transpose: Shoeybi et al., 2019, and, for the split
along positions, Korthikanti et al., 2022."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from paceline.engines.torch.mesh import Axis

# their names since torch 2.13, and before
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor

POSITIONS = 1  # the dimension of [B, S, ...] along which ranks share a sequence


def all_reduce(tensor: Tensor, axis: Axis) -> Tensor:
    """The sum over ranks, which then compute the same; backward each takes its gradient as it is."""
    return _call(_AllReduce, tensor, axis)


def replicate(tensor: Tensor, axis: Axis) -> Tensor:
    """What all ranks have, handed to computations that differ; backward their gradients are summed."""
    return _call(_Replicate, tensor, axis)


def all_gather(tensor: Tensor, axis: Axis) -> Tensor:
    """All ranks' parts of the positions, handed to computations that differ; backward is `reduce_scatter`."""
    return _call(_AllGather, tensor, axis)


def reduce_scatter(tensor: Tensor, axis: Axis) -> Tensor:
    """This rank's part of the positions of the sum over ranks; backward is `all_gather`."""
    return _call(_ReduceScatter, tensor, axis)


def all_to_all(rows: Tensor, sent: Sequence[int], received: Sequence[int], axis: Axis) -> Tensor:
    """Of `rows` [N, ...] the first `sent[0]` to rank 0 and so on; what came from rank 0, from rank 1 and so on."""
    exchanged: Tensor = _AllToAll.apply(rows, sent, received, axis)  # type: ignore[no-untyped-call]
    return exchanged


def _call(function: type[torch.autograd.Function], tensor: Tensor, axis: Axis) -> Tensor:
    result: Tensor = function.apply(tensor, axis)  # type: ignore[no-untyped-call]
    return result


def _sum(tensor: Tensor, axis: Axis) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=axis.group)
    return total


def _gather(tensor: Tensor, axis: Axis) -> Tensor:
    first = tensor.movedim(POSITIONS, 0).contiguous()
    gathered = first.new_empty(axis.size * first.shape[0], *first.shape[1:])
    _all_gather(gathered, first, group=axis.group)
    return gathered.movedim(0, POSITIONS).contiguous()


def _scatter(tensor: Tensor, axis: Axis) -> Tensor:
    first = tensor.movedim(POSITIONS, 0).contiguous()
    scattered = first.new_empty(first.shape[0] // axis.size, *first.shape[1:])
    _reduce_scatter(scattered, first, group=axis.group)
    return scattered.movedim(0, POSITIONS).contiguous()


def _exchange(rows: Tensor, sent: Sequence[int], received: Sequence[int], axis: Axis) -> Tensor:
    result = rows.new_empty(sum(received), *rows.shape[1:])
    dist.all_to_all_single(result, rows.contiguous(), list(received), list(sent), group=axis.group)
    return result


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: Axis) -> Tensor:
        return _sum(tensor, axis)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Replicate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: Axis) -> Tensor:
        ctx.axis = axis
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _sum(gradient, ctx.axis), None


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: Axis) -> Tensor:
        ctx.axis = axis
        return _gather(tensor, axis)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _scatter(gradient, ctx.axis), None


class _ReduceScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: Axis) -> Tensor:
        ctx.axis = axis
        return _scatter(tensor, axis)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _gather(gradient, ctx.axis), None


class _AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: Sequence[int], received: Sequence[int], axis: Axis) -> Tensor:
        ctx.back = (received, sent, axis)
        return _exchange(rows, sent, received, axis)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _exchange(gradient, *ctx.back), None, None, None
