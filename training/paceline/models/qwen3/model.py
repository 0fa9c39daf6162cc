"""Qwen3: a Llama that norms each head of its queries and keys."""

from __future__ import annotations

from paceline.models.attention import Attention
from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.feed_forward import FeedForward
from paceline.models.layers import LayerFactory
from paceline.models.qwen3.config import Qwen3Config


class Qwen3(CausalLM):
    """Hugging Face's Qwen3ForCausalLM."""

    def __init__(self, config: Qwen3Config, layers: LayerFactory) -> None:
        def layer(index: int) -> DecoderLayer:
            attention = Attention(config, layers, index, norms=True)
            return DecoderLayer(config, layers, attention=attention, feed_forward=FeedForward(config, layers))

        super().__init__(config, layers, layer)
