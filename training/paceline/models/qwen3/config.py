"""The shape of a dense Qwen3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paceline.models.config import DecoderConfig, Shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen3Config(DecoderConfig):
    """Hugging Face's Qwen3Config. With `use_sliding_window`, layers from `max_window_layers` on have the window."""

    family: ClassVar[str] = "qwen3"
    architecture: ClassVar[str] = "Qwen3ForCausalLM"
    fixed: ClassVar[Mapping[str, Any]] = {**DecoderConfig.fixed, "attention_bias": False}

    use_sliding_window: bool = False
    sliding_window: int | None = None
    max_window_layers: int = 0

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.use_sliding_window and layer >= self.max_window_layers else None

    def attention_tensors(self) -> Shapes:
        norms = {"q_norm.weight": (self.head_dim,), "k_norm.weight": (self.head_dim,)}
        return DecoderConfig.attention_tensors(self) | norms
