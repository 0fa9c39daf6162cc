"""Cross-entropy of logits whose vocabulary ranks share (Shoeybi et al., 2019)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_group


def parallel_cross_entropy(vocab_parallel_logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    assert label_smoothing == 0.0, "the engine smooths nothing"
    nats: Tensor = _ParallelCrossEntropy.apply(vocab_parallel_logits, target)  # type: ignore[no-untyped-call]
    return nats


class _ParallelCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        group = get_tensor_model_parallel_group()
        highest = logits.amax(dim=-1)
        dist.all_reduce(highest, dist.ReduceOp.MAX, group=group)
        logits.sub_(highest.unsqueeze(-1))  # in place, as it is there: callers must not need their logits again
        here = target - group.rank() * logits.shape[-1]
        elsewhere = (here < 0) | (here >= logits.shape[-1])
        here = here.masked_fill(elsewhere, 0)
        chosen = logits.gather(-1, here.unsqueeze(-1)).squeeze(-1).masked_fill(elsewhere, 0.0)
        exponentials = logits.exp()
        sums = torch.stack((chosen, exponentials.sum(dim=-1)))
        dist.all_reduce(sums, group=group)
        ctx.save_for_backward(exponentials / sums[1].unsqueeze(-1), here, elsewhere)
        return sums[1].log() - sums[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        softmax, here, elsewhere = ctx.saved_tensors
        one = (~elsewhere).to(softmax.dtype).unsqueeze(-1)
        return softmax.scatter_add(-1, here.unsqueeze(-1), -one) * gradient.unsqueeze(-1), None
