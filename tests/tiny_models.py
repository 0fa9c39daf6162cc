"""The smallest model of each family that has everything which makes the family what it is."""

from __future__ import annotations

import torch
from torch import Tensor

from paceline.engines.base import LogicalShard
from paceline.engines.torch.state import logical
from paceline.models.config import DecoderConfig, RopeScaling
from paceline.models.decoder import CausalLM
from paceline.models.initialise import initialise
from paceline.models.layers import LayerFactory, PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.models.mistral.config import MistralConfig
from paceline.models.mistral.model import Mistral
from paceline.models.mixtral.config import MixtralConfig
from paceline.models.mixtral.model import Mixtral
from paceline.models.qwen2.config import Qwen2Config
from paceline.models.qwen2.model import Qwen2
from paceline.models.qwen3.config import Qwen3Config
from paceline.models.qwen3.model import Qwen3
from paceline.models.qwen3_moe.config import Qwen3MoeConfig
from paceline.models.qwen3_moe.model import Qwen3Moe
from paceline.models.registry import BLUEPRINTS
from paceline.models.sharding import ShardingPlan

_SIZES = {
    "vocab_size": 48,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.3,
}
# stretches the slower of the two waves of a head of four
_SCALING = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
_EXPERTS = {"num_experts_per_tok": 2, "router_aux_loss_coef": 0.1}

TINY: dict[str, DecoderConfig] = {
    "llama": LlamaConfig(**_SIZES, rope_scaling=_SCALING),
    "mistral": MistralConfig(**_SIZES, sliding_window=5),
    "mixtral": MixtralConfig(**_SIZES, **_EXPERTS, num_local_experts=4),
    "qwen2": Qwen2Config(
        **_SIZES, tie_word_embeddings=True, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "qwen3": Qwen3Config(**(_SIZES | {"head_dim": 8}), tie_word_embeddings=True),
    "qwen3_moe": Qwen3MoeConfig(
        **(_SIZES | {"head_dim": 8}), **_EXPERTS, moe_intermediate_size=16, num_experts=6, norm_topk_prob=True
    ),
}
_CLASSES: dict[str, type[CausalLM]] = {
    "llama": Llama,
    "mistral": Mistral,
    "mixtral": Mixtral,
    "qwen2": Qwen2,
    "qwen3": Qwen3,
    "qwen3_moe": Qwen3Moe,
}


def plan_of(config: DecoderConfig) -> ShardingPlan:
    return BLUEPRINTS[config.family]("debug", 1).sharding


def state_of(model: CausalLM) -> dict[str, LogicalShard]:
    """The logical tensors of a whole model, live."""
    whole = {
        name: LogicalShard(tensor=p.data, global_shape=tuple(p.shape), offset=(0,) * p.dim())
        for name, p in model.named_parameters()
    }
    plan = plan_of(model.config)
    return {tensor: shard for name, held in whole.items() for tensor, shard in logical(name, held, plan)}


def build(config: DecoderConfig, layers: LayerFactory | None = None) -> CausalLM:
    """A model whose every parameter matters: scales and biases differ from each other."""
    model = _CLASSES[config.family](config, layers or PlainLayers())
    for name, shard in state_of(model).items():
        initialise(name, shard.tensor, first_row=0, seed=5, std=config.initializer_range)
        if shard.tensor.dim() == 1:
            shard.tensor.add_(torch.linspace(-0.5, 0.5, len(shard.tensor)))
    return model


def some_ids(config: DecoderConfig, sequences: int = 2, length: int = 17) -> Tensor:
    return torch.randint(0, config.vocab_size, (sequences, length), generator=torch.Generator().manual_seed(1))
