"""The shape of a Mistral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from paceline.models.config import DecoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class MistralConfig(DecoderConfig):
    """Hugging Face's MistralConfig."""

    family: ClassVar[str] = "mistral"
    architecture: ClassVar[str] = "MistralForCausalLM"

    sliding_window: int | None = None

    def window(self, layer: int) -> int | None:
        return self.sliding_window
