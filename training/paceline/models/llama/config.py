"""The shape of a Llama."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paceline.models.config import DecoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class LlamaConfig(DecoderConfig):
    """Hugging Face's LlamaConfig."""

    family: ClassVar[str] = "llama"
    architecture: ClassVar[str] = "LlamaForCausalLM"
    fixed: ClassVar[Mapping[str, Any]] = {**DecoderConfig.fixed, "attention_bias": False, "mlp_bias": False}
