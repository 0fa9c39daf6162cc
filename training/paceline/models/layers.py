"""The layers that models are made of, injected, so that model code is written once for all engines.

Models never draw random numbers: the layers here leave their parameters unset, and `models.initialise` gives every
parameter its first value. Without that, building on the meta device would run PyTorch's default initialisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.models.kernels import KERNELS, AttentionKernel

# torch 2.9, which the Neuron image has, does not know it
_GROUPED_MM = getattr(F, "grouped_mm", None)


class LayerFactory(Protocol):
    """Makes the parametrised layers of a model, and says how attention is computed."""

    @property
    def attention(self) -> AttentionKernel: ...

    def linear(self, in_features: int, out_features: int, *, bias: bool = False) -> nn.Module:
        """[..., in_features] -> [..., out_features]; `weight` is [out_features, in_features]."""
        ...

    def grouped_linear(self, groups: int, in_features: int, out_features: int) -> nn.Module:
        """Rows [N, in_features] sorted by group, rows per group [groups] -> [N, out_features].

        `weight` is [groups, out_features, in_features].
        """
        ...

    def embedding(self, num_embeddings: int, embedding_dim: int) -> nn.Module:
        """Integer ids [...] -> [..., embedding_dim]; `weight` is [num_embeddings, embedding_dim]."""
        ...

    def rms_norm(self, dim: int, eps: float) -> nn.Module:
        """[..., dim] -> [..., dim], divided by its root mean square and scaled; `weight` is [dim]."""
        ...

    def add_loss(self, output: Tensor, loss: Tensor) -> Tensor:
        """`output`, through whose gradient `loss`, a sum over the tokens of this pass, joins what is minimised.

        So a layer's own loss needs no way through the layers above it, nor through the stages of a pipeline.
        """
        ...

    def all_counts(self, counts: Tensor) -> Tensor:
        """Rows per expert [E] over the whole sequences of this pass, of which `counts` [E] is this rank's part."""
        ...

    def apply_experts(self, experts: Callable[[Tensor, Tensor], Tensor], rows: Tensor, counts: Tensor) -> Tensor:
        """What all experts make of `rows` [N, hidden], sorted by expert, `counts` [E] rows for each: [N, hidden].

        `experts` does it for those that this rank holds.
        """
        ...


class PlainLayers:
    """Plain torch layers, whole on every rank; an engine may shard them afterwards.

    The loss that is minimised is a mean over `loss_tokens` tokens.
    """

    def __init__(self, *, attention: str = "sdpa", loss_tokens: int = 1) -> None:
        self.attention: AttentionKernel = KERNELS[attention]
        self._loss_tokens = loss_tokens

    def linear(self, in_features: int, out_features: int, *, bias: bool = False) -> nn.Module:
        return _Linear(in_features, out_features, bias=bias)

    def grouped_linear(self, groups: int, in_features: int, out_features: int) -> nn.Module:
        return GroupedLinear(groups, in_features, out_features)

    def embedding(self, num_embeddings: int, embedding_dim: int) -> nn.Module:
        return _Embedding(num_embeddings, embedding_dim)

    def rms_norm(self, dim: int, eps: float) -> nn.Module:
        return _RMSNorm(dim, eps=eps)

    def add_loss(self, output: Tensor, loss: Tensor) -> Tensor:
        added: Tensor = _AddLoss.apply(output, loss / self._loss_tokens)  # type: ignore[no-untyped-call]
        return added

    def all_counts(self, counts: Tensor) -> Tensor:
        return counts

    def apply_experts(self, experts: Callable[[Tensor, Tensor], Tensor], rows: Tensor, counts: Tensor) -> Tensor:
        return experts(rows, counts)


class GroupedLinear(nn.Module):
    """See `LayerFactory.grouped_linear`."""

    def __init__(self, groups: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, out_features, in_features))

    def forward(self, rows: Tensor, counts: Tensor) -> Tensor:
        # the kernel wants bfloat16, and rows of whole 16 bytes
        aligned = self.weight.shape[1] % 8 == 0 and self.weight.shape[2] % 8 == 0
        if _GROUPED_MM is not None and rows.is_cuda and rows.dtype == torch.bfloat16 and aligned:
            return grouped_kernel(rows, self.weight, counts)
        return grouped_loop(rows, self.weight, counts)


def grouped_kernel(rows: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """One kernel for all groups."""
    assert _GROUPED_MM is not None
    product: Tensor = _GROUPED_MM(rows, weight.mT, offs=counts.cumsum(0, dtype=torch.int32))
    return product


def grouped_loop(rows: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """A product per group."""
    parts = torch.split(rows, counts.tolist())
    return torch.cat([F.linear(part, matrix) for part, matrix in zip(parts, weight.unbind(), strict=True)])


class _AddLoss(torch.autograd.Function):
    """The identity on `output`; backward, `loss` is minimised as well."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (loss,) = ctx.saved_tensors
        return gradient, torch.ones_like(loss)


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""


class _RMSNorm(nn.RMSNorm):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""
