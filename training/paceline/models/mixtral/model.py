"""Mixtral: a Mistral each of whose layers has experts."""

from __future__ import annotations

from typing import ClassVar

from paceline.models.attention import Attention
from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.experts import Experts, SparseFeedForward
from paceline.models.layers import LayerFactory
from paceline.models.mixtral.config import EXPERT_NAMES, MixtralConfig


class MixtralExperts(Experts):
    """Experts by Mixtral's names."""

    names: ClassVar[tuple[str, str, str]] = EXPERT_NAMES


class MixtralLayer(DecoderLayer):
    """A layer by Mixtral's names."""

    feed_forward_name: ClassVar[str] = "block_sparse_moe"


class Mixtral(CausalLM):
    """Hugging Face's MixtralForCausalLM."""

    def __init__(self, config: MixtralConfig, layers: LayerFactory) -> None:
        hidden, routing = config.hidden_size, config.routing

        def layer(index: int) -> DecoderLayer:
            attention = Attention(config, layers, index)
            experts = MixtralExperts(routing.experts, hidden, config.intermediate_size, layers)
            sparse = SparseFeedForward(routing, experts, hidden, layers)
            return MixtralLayer(config, layers, attention=attention, feed_forward=sparse)

        super().__init__(config, layers, layer)
