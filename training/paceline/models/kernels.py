"""Attention itself: from queries, keys and values to their mixture, and the masks that it needs.

One registry: `sdpa` trains everywhere; `flex` skips the blocks of a mask in which nothing is seen, and does so only
inside a compiled layer: elsewhere it computes, and keeps, every score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

    Mask = Tensor | BlockMask | object  # whatever `mask` gives, `attend` of the same kernel takes


class AttentionKernel(Protocol):
    """One way to compute causal attention."""

    def positions(self, ids: Tensor) -> Tensor:
        """The places [S] in the sequence of what attends and is attended to, for model inputs `ids` [B, ...]."""
        ...

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        """What may see what among `positions` [S]; for all layers with the same `window`.

        A position sees itself and what is before it: at most `window` positions, and only of its own document where
        `documents` [B, S] numbers them.
        """
        ...

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        """[B, H, S, D] and twice [B, H / n, S, D] -> [B, H, S, D]; a key head serves n query heads."""
        ...


class PlainKernel(AttentionKernel, Protocol):
    """One that needs nothing of other ranks."""

    trains_on: ClassVar[tuple[str, ...]]
    """The types of devices that have its backward pass."""


class ScaledDotProduct(PlainKernel):
    """`torch.nn.functional.scaled_dot_product_attention`; a mask, where one is needed, is a matrix."""

    trains_on: ClassVar[tuple[str, ...]] = ("cpu", "cuda", "neuron")

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1], device=ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        if documents is None and (window is None or window >= len(positions)):
            return None
        seen = visible(positions[:, None], positions, window)
        if documents is not None:
            seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
        return seen

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        assert mask is None or isinstance(mask, Tensor)
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, enable_gqa=True)


class Flex(PlainKernel):
    """`torch.nn.attention.flex_attention`; forward only on a CPU (its `_validate_device`, torch 2.13)."""

    trains_on: ClassVar[tuple[str, ...]] = ("cuda",)

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1], device=ids.device)

    def mask(self, positions: Tensor, *, window: int | None, documents: Tensor | None) -> Mask:
        from torch.nn.attention.flex_attention import create_block_mask

        def seen(sequence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            seen = visible(query, key, window)
            if documents is not None:
                seen = seen & (documents[sequence, query] == documents[sequence, key])
            return seen

        length = len(positions)
        per_sequence = None if documents is None else documents.shape[0]
        return create_block_mask(seen, per_sequence, None, length, length, device=positions.device)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        from torch.nn.attention.flex_attention import BlockMask, flex_attention

        assert isinstance(mask, BlockMask)
        mixed = flex_attention(query, key, value, block_mask=mask, enable_gqa=True)
        assert isinstance(mixed, Tensor)
        return mixed


def visible(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    """Whether a position `query` may see a position `key`."""
    causal = key <= query
    return causal if window is None else causal & (key > query - window)


KERNELS: Mapping[str, PlainKernel] = {
    "sdpa": ScaledDotProduct(),
    "flex": Flex(),
}
