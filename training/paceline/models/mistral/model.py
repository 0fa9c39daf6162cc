"""Mistral: a Llama whose positions may see only so far back."""

from __future__ import annotations

from paceline.models.attention import Attention
from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.feed_forward import FeedForward
from paceline.models.layers import LayerFactory
from paceline.models.mistral.config import MistralConfig


class Mistral(CausalLM):
    """Hugging Face's MistralForCausalLM."""

    def __init__(self, config: MistralConfig, layers: LayerFactory) -> None:
        def layer(index: int) -> DecoderLayer:
            attention = Attention(config, layers, index)
            return DecoderLayer(config, layers, attention=attention, feed_forward=FeedForward(config, layers))

        super().__init__(config, layers, layer)
