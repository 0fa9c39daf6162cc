"""Context parallel: ranks share the positions of a sequence, and attend to all of it by ring attention.

The sequence is cut into twice as many pieces as there are ranks, and rank r has pieces r and 2n - 1 - r, so that under
a causal mask all have as much to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from paceline.engines.torch.mesh import Axis
from paceline.engines.torch.ring_attention import Ring, ring_attention
from paceline.models.kernels import AttentionKernel

if TYPE_CHECKING:
    from paceline.models.kernels import Mask


def split(tokens: Tensor, axis: Axis) -> Tensor:
    """This rank's positions of `tokens` [B, S]: [B, S / n]."""
    return tokens if axis.size == 1 else tokens[:, _positions(tokens.shape[1], axis)]


class RingKernel(AttentionKernel):
    """Causal attention of this rank's positions of sequences of `length` to all that are before them."""

    def __init__(self, axis: Axis, length: int) -> None:
        self._axis = axis
        self._own = _positions(length, axis)

    def positions(self, ids: Tensor) -> Tensor:
        return self._own.to(ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        assert documents is None, "the numbers of documents do not go round"
        return window

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # what goes round is no graph's business
    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        assert mask is None or isinstance(mask, int)
        return ring_attention(query, key, value, Ring(axis=self._axis, piece=len(self._own) // 2, window=mask))


def _positions(length: int, axis: Axis) -> Tensor:
    pieces = torch.arange(length).chunk(2 * axis.size)
    return torch.cat((pieces[axis.rank], pieces[2 * axis.size - 1 - axis.rank]))
