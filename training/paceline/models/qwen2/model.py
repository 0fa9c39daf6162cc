"""Qwen2 and Qwen2.5: a Llama whose queries, keys and values have a bias."""

from __future__ import annotations

from paceline.models.attention import Attention
from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.feed_forward import FeedForward
from paceline.models.layers import LayerFactory
from paceline.models.qwen2.config import Qwen2Config


class Qwen2(CausalLM):
    """Hugging Face's Qwen2ForCausalLM."""

    def __init__(self, config: Qwen2Config, layers: LayerFactory) -> None:
        def layer(index: int) -> DecoderLayer:
            attention = Attention(config, layers, index, bias=True)
            return DecoderLayer(config, layers, attention=attention, feed_forward=FeedForward(config, layers))

        super().__init__(config, layers, layer)
