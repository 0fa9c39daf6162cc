"""The layers that models are made of, injected, so that model code is written once for all engines.

Models never draw random numbers: the layers here leave their parameters unset, and `models.initialise` gives every
parameter its first value. Without that, building on the meta device would run PyTorch's default initialisation.
"""

from __future__ import annotations

from typing import Protocol

from torch import nn


class LayerFactory(Protocol):
    """Makes the parametrised layers of a model."""

    def linear(self, in_features: int, out_features: int) -> nn.Module:
        """[..., in_features] -> [..., out_features], without bias; `weight` is [out_features, in_features]."""
        ...

    def embedding(self, num_embeddings: int, embedding_dim: int) -> nn.Module:
        """Integer ids [...] -> [..., embedding_dim]; `weight` is [num_embeddings, embedding_dim]."""
        ...

    def rms_norm(self, dim: int, eps: float) -> nn.Module:
        """[..., dim] -> [..., dim], divided by its root mean square and scaled; `weight` is [dim]."""
        ...


class PlainLayers:
    """Plain torch layers, whole on every rank; an engine may shard them afterwards."""

    def linear(self, in_features: int, out_features: int) -> nn.Module:
        return _Linear(in_features, out_features, bias=False)

    def embedding(self, num_embeddings: int, embedding_dim: int) -> nn.Module:
        return _Embedding(num_embeddings, embedding_dim)

    def rms_norm(self, dim: int, eps: float) -> nn.Module:
        return _RMSNorm(dim, eps=eps)


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""


class _RMSNorm(nn.RMSNorm):
    def reset_parameters(self) -> None:
        """Left to `models.initialise`."""
