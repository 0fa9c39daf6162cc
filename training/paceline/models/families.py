"""The families of models by Hugging Face's `model_type`, one line each: their configurations. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from paceline.models.config import DecoderConfig
from paceline.models.llama.config import LlamaConfig
from paceline.models.mistral.config import MistralConfig
from paceline.models.mixtral.config import MixtralConfig
from paceline.models.qwen2.config import Qwen2Config
from paceline.models.qwen3.config import Qwen3Config
from paceline.models.qwen3_moe.config import Qwen3MoeConfig

FAMILIES: Mapping[str, type[DecoderConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "mixtral": MixtralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "qwen3_moe": Qwen3MoeConfig,
}
