"""The feed-forward of a dense layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from paceline.models.config import DecoderConfig
from paceline.models.layers import LayerFactory


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020): [..., hidden] -> [..., hidden]."""

    def __init__(self, config: DecoderConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.gate_proj = layers.linear(config.hidden_size, config.intermediate_size)
        self.up_proj = layers.linear(config.hidden_size, config.intermediate_size)
        self.down_proj = layers.linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return projected
