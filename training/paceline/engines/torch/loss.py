"""The tokens' cross-entropies, also of logits whose vocabulary ranks share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from paceline.engines.base import IGNORED
from paceline.engines.torch.mesh import Axis


def summed_cross_entropy(logits: Tensor, targets: Tensor, axis: Axis, *, vocabulary: int) -> Tensor:
    """A scalar in nats, float32, equal on all ranks of `axis`: of all targets that are not IGNORED.

    `logits` [..., V / n] are those of this rank's equal chunk of `vocabulary` = V tokens, `targets` [...] any of them.
    """
    if axis.size == 1:
        return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="sum", ignore_index=IGNORED)
    return token_cross_entropy(logits, targets, axis, vocabulary=vocabulary).sum()


def token_cross_entropy(logits: Tensor, targets: Tensor, axis: Axis, *, vocabulary: int) -> Tensor:
    """As `summed_cross_entropy`, of each target apart: [...], zero where it is IGNORED."""
    rows, wanted = logits.flatten(0, -2).float(), targets.flatten()
    if axis.size == 1:
        return F.cross_entropy(rows, wanted, reduction="none", ignore_index=IGNORED).view(targets.shape)
    first = axis.rank * -(-vocabulary // axis.size)
    counts = wanted != IGNORED
    nats: Tensor = _SharedCrossEntropy.apply(rows, wanted - first, axis)  # type: ignore[no-untyped-call]
    return (nats * counts).view(targets.shape)


def cross_entropy_by_sequence(logits: Tensor, targets: Tensor, axis: Axis, *, vocabulary: int) -> Tensor:
    """As `summed_cross_entropy`, of each sequence of [B, S, V / n] and [B, S] apart and over the targets that are not
    IGNORED: [B] float64."""
    nats = targets.new_zeros(len(targets), dtype=torch.float64)
    for row, (predicted, wanted) in enumerate(zip(logits, targets, strict=True)):
        counts = wanted != IGNORED
        if counts.any():
            nats[row] = summed_cross_entropy(predicted[counts], wanted[counts], axis, vocabulary=vocabulary)
    return nats


class _SharedCrossEntropy(torch.autograd.Function):
    """Of logits [N, V / n] and targets [N] counted from this rank's first token (Shoeybi et al., 2019)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, axis: Axis) -> Tensor:
        highest = logits.amax(dim=-1)
        dist.all_reduce(highest, dist.ReduceOp.MAX, group=axis.group)
        exponentials = (logits - highest.unsqueeze(-1)).exp()
        elsewhere = (targets < 0) | (targets >= logits.shape[1])
        targets = targets.masked_fill(elsewhere, 0).unsqueeze(-1)
        chosen = (logits.gather(1, targets).squeeze(-1) - highest).masked_fill(elsewhere, 0.0)
        sums = torch.stack((exponentials.sum(dim=-1), chosen))
        dist.all_reduce(sums, group=axis.group)
        ctx.save_for_backward(exponentials, sums[0], targets, elsewhere)
        return sums[0].log() - sums[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        exponentials, sums, targets, elsewhere = ctx.saved_tensors
        of_logits = exponentials / sums.unsqueeze(-1)
        here = (~elsewhere).to(of_logits.dtype).unsqueeze(-1)
        of_logits.scatter_add_(1, targets, -here)
        return of_logits * gradient.unsqueeze(-1), None, None
