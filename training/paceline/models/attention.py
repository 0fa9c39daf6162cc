"""Causal self-attention in which groups of query heads share a key/value head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from paceline.models.config import DecoderConfig
from paceline.models.layers import LayerFactory
from paceline.models.rotary import Rotary

if TYPE_CHECKING:
    from paceline.models.kernels import Mask


class Attention(nn.Module):
    """[B, S, hidden] -> [B, S, hidden], in layer number `layer`.

    `bias` is one for queries, keys and values; `norms` is over each head of queries and keys.
    """

    def __init__(
        self,
        config: DecoderConfig,
        layers: LayerFactory,
        layer: int,
        *,
        bias: bool = False,
        norms: bool = False,
    ) -> None:
        super().__init__()
        self.window = config.window(layer)
        self.head_dim = config.head_dim
        self.kernel = layers.attention
        queries = config.num_attention_heads * self.head_dim
        keys = config.num_key_value_heads * self.head_dim
        self.q_proj = layers.linear(config.hidden_size, queries, bias=bias)
        self.k_proj = layers.linear(config.hidden_size, keys, bias=bias)
        self.v_proj = layers.linear(config.hidden_size, keys, bias=bias)
        self.o_proj = layers.linear(queries, config.hidden_size)
        self.q_norm = layers.rms_norm(self.head_dim, config.rms_norm_eps) if norms else nn.Identity()
        self.k_norm = layers.rms_norm(self.head_dim, config.rms_norm_eps) if norms else nn.Identity()

    def forward(self, hidden: Tensor, rotary: Rotary, mask: Mask) -> Tensor:
        query = rotary.turn(self.q_norm(self._heads(self.q_proj(hidden))))
        key = rotary.turn(self.k_norm(self._heads(self.k_proj(hidden))))
        value = self._heads(self.v_proj(hidden))
        mixed = self.kernel.attend(query, key, value, mask)
        projected: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, projected: Tensor) -> Tensor:
        # [B, S, H * D] -> [B, H, S, D]; H from the tensor, because a rank may hold a part of the heads
        return projected.view(*projected.shape[:-1], -1, self.head_dim).transpose(1, 2)
