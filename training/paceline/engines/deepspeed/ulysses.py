"""Context parallel: ranks share the positions of a sequence, and of attention the heads (DeepSpeed-Ulysses: Jacobs et
al., 2023). Before it every rank gives its positions of the others' heads away, and after it gets them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from deepspeed.sequence.layer import _SeqAllToAll
from torch import Tensor

from paceline.engines.torch.mesh import Axis
from paceline.models.kernels import AttentionKernel

if TYPE_CHECKING:
    from paceline.models.kernels import Mask

_POSITIONS, _HEADS = 1, 2  # dimensions of [B, S, H, D]


def split(tokens: Tensor, axis: Axis) -> Tensor:
    """This rank's positions of `tokens` [B, S]: [B, S / n]."""
    return tokens.chunk(axis.size, dim=1)[axis.rank]


class UlyssesKernel(AttentionKernel):
    """Attention by `kernel` to whole sequences of `length`, of a share of the heads; documents are given whole."""

    def __init__(self, kernel: AttentionKernel, axis: Axis, length: int) -> None:
        self._kernel = kernel
        self._axis = axis
        self._all = torch.arange(length)

    def positions(self, ids: Tensor) -> Tensor:
        return self._all.chunk(self._axis.size)[self._axis.rank].to(ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        return self._kernel.mask(self._all.to(positions.device), window=window, documents=documents)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        query, key, value = (self._exchange(tensor, _HEADS, _POSITIONS) for tensor in (query, key, value))
        return self._exchange(self._kernel.attend(query, key, value, mask), _POSITIONS, _HEADS)

    def _exchange(self, tensor: Tensor, given: int, taken: int) -> Tensor:
        """[B, H, S, D] with dimension `given` shared from now on, and all of `taken`."""
        exchanged: Tensor = _SeqAllToAll.apply(self._axis.group, tensor.transpose(1, 2).contiguous(), given, taken, 0)
        return exchanged.transpose(1, 2)
