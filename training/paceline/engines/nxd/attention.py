"""Attention by the kernels of NeuronX Distributed, as models ask for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from neuronx_distributed.kernels import nki_flash_attn_func, nki_ring_attn_func
from neuronx_distributed.parallel_layers import parallel_state
from torch import Tensor

from paceline.models.kernels import AttentionKernel, ScaledDotProduct
from paceline.recipe.schema import Recipe

if TYPE_CHECKING:
    from paceline.models.kernels import Mask


def kernel(recipe: Recipe) -> AttentionKernel:
    """What the recipe chose; ring attention where ranks share the positions of a sequence."""
    if recipe.parallelism.cp > 1:
        return RingAttention(recipe.data.sequence_length // recipe.parallelism.cp)
    if recipe.compute.attention == "nki_flash":
        return FlashAttention(recipe.data.sequence_length)
    return WholeSequences(recipe.data.sequence_length)


def split(tokens: Tensor) -> Tensor:
    """This rank's positions of `tokens` [B, S]: [B, S / n], the r-th of n pieces.

    As `get_batch_on_this_context_parallel_rank` cuts them; ours are labelled already, which it would do again.
    """
    size = parallel_state.get_context_model_parallel_size()
    return tokens.chunk(size, dim=1)[parallel_state.get_context_model_parallel_rank()] if size > 1 else tokens


class WholeSequences(ScaledDotProduct):
    """Attention to all `length` positions, where the input of a layer may be a part of them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(self._length, device=ids.device)


class FlashAttention(WholeSequences):
    """`nki_flash_attn_func`; it has no mask but the causal one."""

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        assert documents is None and (window is None or window >= len(positions)), "refused by paceline.plan.neuron"
        return None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        key, value = (_repeated(x, query) for x in (key, value))
        # how the compiler groups cores must be how the runtime does
        grouping = int(os.environ.get("NEURON_LOGICAL_NC_CONFIG", "1"))
        mixed: Tensor = nki_flash_attn_func(query, key, value, lnc=grouping, transpose_nki_inputs=False)
        return mixed.transpose(1, 2)


class RingAttention(AttentionKernel):
    """`nki_ring_attn_func` over the ranks that share the positions, `length` of them each."""

    def __init__(self, length: int) -> None:
        self._length = length

    def positions(self, ids: Tensor) -> Tensor:
        first = self._length * parallel_state.get_context_model_parallel_rank()
        return torch.arange(first, first + self._length, device=ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        length = self._length * parallel_state.get_context_model_parallel_size()
        assert documents is None and (window is None or window >= length), "refused by paceline.plan.neuron"
        return None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        key, value = (_repeated(x, query) for x in (key, value))
        ring = parallel_state.get_context_model_parallel_src_tgt_pairs()
        mixed: Tensor = nki_ring_attn_func(query, key, value, dist.get_rank(), ring)
        return mixed.transpose(1, 2)


def _repeated(heads: Tensor, query: Tensor) -> Tensor:
    """Key or value heads [B, H / n, S, D] as often as `query` [B, H, S, D] has them: the kernels share none."""
    return heads.repeat_interleave(query.shape[1] // heads.shape[1], dim=1)
