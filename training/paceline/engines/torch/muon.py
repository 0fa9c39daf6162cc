"""Muon on the local shards of matrices: momentum, made orthogonal (Jordan et al., 2024).

The momentum is element by element and stays where its shard is. Its orthogonal form needs the whole matrix: every rank
gathers it, computes the same, and takes its own rows. The scale is that of Liu et al. (2025, "Muon is scalable for LLM
training", section 2.2): updates as large as AdamW's, so that both take the same learning rate and weight decay. The
numbers agree with `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")` on one rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SMALLEST_NORM = 1e-7


class ShardedMuon:
    """Updates `locals_`, the local blocks of the matrices of the same names in `sharded`; blocks of three dimensions
    are a matrix per expert."""

    def __init__(
        self, locals_: Mapping[str, torch.nn.Parameter], sharded: Mapping[str, Tensor], *, weight_decay: float
    ) -> None:
        self._locals = locals_
        self._sharded = sharded
        self._weight_decay = weight_decay
        self._momentum = {name: torch.zeros_like(p, requires_grad=False) for name, p in locals_.items()}

    @property
    def state(self) -> dict[str, dict[str, Tensor]]:
        """By kind and parameter; live."""
        return {"momentum": self._momentum}

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update from the gradients of the local blocks; a collective of those that shard a matrix."""
        for name, parameter in self._locals.items():
            assert parameter.grad is not None
            momentum = self._momentum[name].lerp_(parameter.grad, 1 - MOMENTUM)
            direction = self._orthogonal(name, torch.lerp(parameter.grad, momentum, MOMENTUM))
            rows, columns = self._sharded[name].shape[-2:]
            parameter.mul_(1 - learning_rate * self._weight_decay)
            parameter.add_(direction, alpha=-learning_rate * 0.2 * math.sqrt(max(rows, columns)))

    def _orthogonal(self, name: str, own: Tensor) -> Tensor:
        """This rank's block of the orthogonal form of the matrix whose block is `own`."""
        like = self._sharded[name]
        if not isinstance(like, DTensor):
            return orthogonal(own).to(own.dtype)
        mesh, placements = like.device_mesh, like.placements
        sharded = DTensor.from_local(own, mesh, placements, run_check=False, shape=like.shape, stride=like.stride())
        result = orthogonal(sharded.full_tensor()).to(own.dtype)
        replicated = DTensor.from_local(result, mesh, run_check=False)
        return replicated.redistribute(placements=placements).to_local()


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly U V^T of `matrix` [..., rows, columns] = U S V^T, in bfloat16, by a quintic Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=_SMALLEST_NORM)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result
