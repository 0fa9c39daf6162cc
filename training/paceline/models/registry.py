"""The families of models, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paceline.models.blueprint import Blueprint
from paceline.models.llama.blueprint import llama
from paceline.recipe.schema import ModelChoice

FAMILIES: Mapping[str, Callable[[str, int], Blueprint]] = {
    "llama": llama,
}


def blueprint(choice: ModelChoice, vocabulary: int) -> Blueprint:
    """The model that a recipe chose, for a dataset of `vocabulary` tokens; RecipeError for an unknown preset."""
    return FAMILIES[choice.family](choice.preset, vocabulary)
