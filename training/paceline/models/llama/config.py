"""The shape of a Llama, in the names of Hugging Face's `config.json`, and the sizes that have a name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Self

import yaml

from paceline.spec.documents import nearest
from paceline.spec.errors import RecipeError


@dataclass(frozen=True, kw_only=True, slots=True)
class LlamaConfig:
    """Dimensions and constants of one Llama."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    initializer_range: float

    def __post_init__(self) -> None:
        assert self.hidden_size % self.num_attention_heads == 0, "heads must share the hidden size evenly"
        assert self.num_attention_heads % self.num_key_value_heads == 0, "key/value heads must share the heads evenly"
        assert self.head_dim % 2 == 0, "rotary embedding turns pairs"

    @classmethod
    def preset(cls, name: str, *, vocabulary: int | None = None) -> Self:
        """The size called `name`, with the dataset's `vocabulary` in place of the published one if given."""
        presets = _presets()
        if name not in presets:
            raise RecipeError(f"model.preset: llama has no preset `{name}`", nearest(name, list(presets)))
        config = cls(**presets[name])
        return config if vocabulary is None else replace(config, vocab_size=vocabulary)

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        attention = 2 * self.hidden_size * self.head_dim * (self.num_attention_heads + self.num_key_value_heads)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        norms = (2 * self.num_hidden_layers + 1) * self.hidden_size
        embeddings = (1 if self.tie_word_embeddings else 2) * self.vocab_size * self.hidden_size
        return embeddings + norms + self.num_hidden_layers * (attention + feed_forward)


@cache
def _presets() -> dict[str, dict[str, Any]]:
    text = files(__package__).joinpath("presets.yaml").read_text(encoding="utf-8")
    presets: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return presets
