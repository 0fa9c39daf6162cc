"""Qwen3 with experts: a Qwen3 each of whose layers has many small ones."""

from __future__ import annotations

from paceline.models.attention import Attention
from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.experts import Experts, SparseFeedForward
from paceline.models.layers import LayerFactory
from paceline.models.qwen3_moe.config import Qwen3MoeConfig


class Qwen3Moe(CausalLM):
    """Hugging Face's Qwen3MoeForCausalLM."""

    def __init__(self, config: Qwen3MoeConfig, layers: LayerFactory) -> None:
        hidden, routing = config.hidden_size, config.routing

        def layer(index: int) -> DecoderLayer:
            attention = Attention(config, layers, index, norms=True)
            experts = Experts(routing.experts, hidden, config.moe_intermediate_size, layers)
            sparse = SparseFeedForward(routing, experts, hidden, layers)
            return DecoderLayer(config, layers, attention=attention, feed_forward=sparse)

        super().__init__(config, layers, layer)
