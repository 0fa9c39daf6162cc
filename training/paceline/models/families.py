"""The families of models by Hugging Face's `model_type`, one line each: what they are, how they are split. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from paceline.models.config import DecoderConfig
from paceline.models.llama import sharding as llama
from paceline.models.llama.config import LlamaConfig
from paceline.models.mistral import sharding as mistral
from paceline.models.mistral.config import MistralConfig
from paceline.models.mixtral import sharding as mixtral
from paceline.models.mixtral.config import MixtralConfig
from paceline.models.qwen2 import sharding as qwen2
from paceline.models.qwen2.config import Qwen2Config
from paceline.models.qwen3 import sharding as qwen3
from paceline.models.qwen3.config import Qwen3Config
from paceline.models.qwen3_moe import sharding as qwen3_moe
from paceline.models.qwen3_moe.config import Qwen3MoeConfig
from paceline.models.sharding import ShardingPlan

FAMILIES: Mapping[str, type[DecoderConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "mixtral": MixtralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "qwen3_moe": Qwen3MoeConfig,
}

SHARDING: Mapping[str, ShardingPlan] = {
    "llama": llama.PLAN,
    "mistral": mistral.PLAN,
    "mixtral": mixtral.PLAN,
    "qwen2": qwen2.PLAN,
    "qwen3": qwen3.PLAN,
    "qwen3_moe": qwen3_moe.PLAN,
}
