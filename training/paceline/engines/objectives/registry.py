"""The methods, one line each: what they minimise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paceline.engines.objectives.answers import Answers
from paceline.engines.objectives.base import Objective
from paceline.engines.objectives.next_token import NextToken
from paceline.engines.objectives.preference import DirectPreference
from paceline.engines.objectives.reward import Reward
from paceline.recipe.method import Method
from paceline.recipe.schema import Recipe

OBJECTIVES: Mapping[Method, Callable[[Recipe], Objective]] = {
    "pretrain": lambda recipe: NextToken(tokens=recipe.batch.tokens),
    "sft": lambda recipe: Answers(),
    "dpo": lambda recipe: DirectPreference(pairs=recipe.samples_per_step, **recipe.preference.model_dump()),
    "reward": lambda recipe: Reward(pairs=recipe.samples_per_step),
}


def objective(recipe: Recipe) -> Objective:
    """What the method of `recipe` minimises."""
    return OBJECTIVES[recipe.method](recipe)
