"""The layers of a model whose ranks share sequences and experts: plain, but for what they must ask of each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from paceline.engines.torch.context_parallel import RingKernel
from paceline.engines.torch.expert_parallel import dispatch
from paceline.engines.torch.mesh import Mesh
from paceline.models.kernels import ScaledDotProduct
from paceline.models.layers import PlainLayers
from paceline.recipe.schema import Recipe


class ParallelLayers(PlainLayers):
    """See `LayerFactory`."""

    def __init__(self, recipe: Recipe, mesh: Mesh) -> None:
        super().__init__(loss_tokens=recipe.batch.tokens)
        length = recipe.data.sequence_length
        if mesh.cp.size > 1:
            self.attention = RingKernel(mesh.cp, length)
        elif mesh.pp.size > 1:
            self.attention = _WholeSequences(length)
        self._mesh = mesh
        self._positions_shared_by = [mesh.cp] + ([mesh.tp] if recipe.parallelism.sequence_parallel else [])

    def all_counts(self, counts: Tensor) -> Tensor:
        total = counts.clone()
        for axis in self._positions_shared_by:
            if axis.size > 1:
                dist.all_reduce(total, group=axis.group)
        return total

    def apply_experts(self, experts: Callable[[Tensor, Tensor], Tensor], rows: Tensor, counts: Tensor) -> Tensor:
        if self._mesh.ep.size == 1:
            return experts(rows, counts)
        return dispatch(experts, rows, counts, self._mesh.ep)


class _WholeSequences(ScaledDotProduct):
    """Attention to all `length` positions, where the input of a pipeline's stage may be a part of them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(self._length, device=ids.device)
