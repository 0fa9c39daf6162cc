"""What an engine on PyTorch rehearses with: a model of few layers, and passes of any tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from paceline.models.blueprint import Blueprint
from paceline.models.layers import LayerFactory

_LAYERS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """A MicroBatch."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


def shortened(plan: Blueprint) -> Blueprint:
    """The same with its first layers only. The others cost what these have paid; and a standby has no room for a
    whole model, nor the time, while the others train."""

    def build(layers: LayerFactory) -> nn.Module:
        model = plan.build(layers)
        decoder = model.get_submodule("model")
        decoder.layers = cast(nn.ModuleList, decoder.layers)[:_LAYERS]
        return model

    return replace(plan, build=build)
