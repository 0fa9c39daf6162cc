"""The shape of a Qwen2 or Qwen2.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paceline.models.config import DecoderConfig, Shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen2Config(DecoderConfig):
    """Hugging Face's Qwen2Config. With `use_sliding_window`, layers from `max_window_layers` on have the window."""

    family: ClassVar[str] = "qwen2"
    architecture: ClassVar[str] = "Qwen2ForCausalLM"

    use_sliding_window: bool = False
    sliding_window: int | None = None
    max_window_layers: int = 0

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.use_sliding_window and layer >= self.max_window_layers else None

    def attention_tensors(self) -> Shapes:
        weights = DecoderConfig.attention_tensors(self)
        biases = {f"{name}.bias": weights[f"{name}.weight"][:1] for name in ("q_proj", "k_proj", "v_proj")}
        return weights | biases
