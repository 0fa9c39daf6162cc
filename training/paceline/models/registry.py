"""The families of models, one line each: how they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paceline.models.blueprint import Blueprint
from paceline.models.llama.blueprint import llama
from paceline.models.mistral.blueprint import mistral
from paceline.models.mixtral.blueprint import mixtral
from paceline.models.qwen2.blueprint import qwen2
from paceline.models.qwen3.blueprint import qwen3
from paceline.models.qwen3_moe.blueprint import qwen3_moe
from paceline.recipe.schema import ModelChoice

BLUEPRINTS: Mapping[str, Callable[[str, int], Blueprint]] = {
    "llama": llama,
    "mistral": mistral,
    "mixtral": mixtral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "qwen3_moe": qwen3_moe,
}


def blueprint(choice: ModelChoice, vocabulary: int) -> Blueprint:
    """The model that a recipe chose, for a dataset of `vocabulary` tokens; RecipeError for an unknown preset."""
    return BLUEPRINTS[choice.family](choice.preset, vocabulary)
