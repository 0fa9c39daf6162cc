"""What methods and adapters do not go together with, each refused with its cure."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.plan.layout import derive
from paceline.recipe.load import load
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

PAIRS = ["method=dpo", "model.weights=model"]
LORA = ["adapter.rank=4", "model.weights=model"]


def recipe(*overrides: str) -> Recipe:
    return load("debug-tiny", overrides).recipe


def test_nothing_said_is_pre_training_of_all_parameters() -> None:
    assert (recipe().method, recipe().adapter) == ("pretrain", None)


def test_a_pair_is_one_sample() -> None:
    assert recipe(*PAIRS).samples_per_step * 2 == recipe(*PAIRS).sequences_per_step == recipe().samples_per_step


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=dpo"], "model.weights: method dpo needs a model to start from"),
        (["adapter.rank=4"], "model.weights: an adapter needs a model to start from"),
        ([*PAIRS, "parallelism.cp=2"], "method: dpo compares whole sequences"),
        ([*PAIRS, "batch.micro_sequences=1"], "batch.micro_sequences: method dpo takes pairs"),
        ([*PAIRS, "evaluation.every=2"], "evaluation.every: method dpo"),
        (["method=reward", "parallelism.tp=2"], "parallelism.sequence_parallel: a score is of whole positions"),
        ([*LORA, "parallelism.pp=2"], "adapter: stages of a pipeline hold none"),
        ([*LORA, "optimizer.name=muon"], "optimizer.name: muon"),
        ([*LORA, "compute.precision=float8"], "compute.precision: float8 layers take no adapters"),
        ([*LORA, "adapter.targets=[lm_head]"], "adapter.targets"),
        ([*PAIRS, "preference.label_smoothing=0.5"], "preference.label_smoothing"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(*overrides)
    assert message in caught.value.render()


@pytest.mark.parametrize("changes", [{"targets": ("up_proj",)}, {"targets": ("q_proj",), "quantize": "nf4"}])
def test_experts_have_no_adapters(changes: dict[str, Any]) -> None:
    chosen = recipe(*LORA)
    assert chosen.adapter is not None
    model = chosen.model.model_copy(update={"family": "qwen3_moe", "preset": "debug"})
    sparse = chosen.model_copy(update={"model": model, "adapter": chosen.adapter.model_copy(update=changes)})
    with pytest.raises(RecipeError, match="adapter"):
        derive(sparse, 1)
