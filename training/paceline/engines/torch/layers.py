"""The layers of a model whose ranks share sequences and experts: plain, but for what they must ask of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from paceline.engines.torch.context_parallel import RingKernel
from paceline.engines.torch.expert_parallel import dispatch
from paceline.engines.torch.mesh import Mesh
from paceline.models.kernels import KERNELS, AttentionKernel
from paceline.models.layers import PlainLayers
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

if TYPE_CHECKING:
    from paceline.models.kernels import Mask


class ParallelLayers(PlainLayers):
    """See `LayerFactory`. RecipeError where this device does not train with the attention that the recipe asks for."""

    def __init__(self, recipe: Recipe, mesh: Mesh) -> None:
        _require(recipe.compute.attention, mesh.data.device_type)
        super().__init__(attention=recipe.compute.attention, loss_tokens=recipe.batch.tokens)
        length = recipe.data.sequence_length
        if mesh.cp.size > 1:
            self.attention = RingKernel(mesh.cp, length)
        elif mesh.pp.size > 1:
            self.attention = _WholeSequences(self.attention, length)
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


class _WholeSequences(AttentionKernel):
    """Attention by `kernel` to all `length` positions, where the input of a pipeline's stage may be a part of them."""

    def __init__(self, kernel: AttentionKernel, length: int) -> None:
        self._kernel = kernel
        self._length = length

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(self._length, device=ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        return self._kernel.mask(positions, window=window, documents=documents)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        return self._kernel.attend(query, key, value, mask)


def _require(attention: str, device: str) -> None:
    if device not in KERNELS[attention].trains_on:
        able = [name for name, kernel in KERNELS.items() if device in kernel.trains_on]
        raise RecipeError(
            f"compute.attention: {attention} does not train on this device, a {device}",
            f"set compute.attention to {' or '.join(able)}, or train on {' or '.join(KERNELS[attention].trains_on)}",
        )
