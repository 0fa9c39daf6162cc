"""What NeuronX Distributed allows; every refusal names what is legal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.plan.layout import derive
from paceline.plan.neuron import kv_replication
from paceline.recipe.load import load
from paceline.spec.errors import RecipeError


@given(heads=st.integers(1, 64), tp=st.integers(1, 128))
def test_replicated_heads_are_shared_evenly(heads: int, tp: int) -> None:
    times = kv_replication(heads, tp)
    if times is None:
        assert heads % tp and tp % heads
    else:
        assert heads * times % tp == 0


def refusals(instance: str, recipe: str, world: int, **values: object) -> list[tuple[str, str | None]]:
    overrides = [f"{path.replace('__', '.')}={value}" for path, value in values.items()]
    with pytest.raises(RecipeError) as caught:
        derive(load(recipe, [f"instance={instance}", "parallelism.auto=false", *overrides]).recipe, world)
    return [(problem.message, problem.hint) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("instance", "tp", "nearest"), [("trn2.48xlarge", 8, "4 or 16"), ("trn1.32xlarge", 16, "8 or 32")]
)
def test_a_degree_whose_groups_cannot_be_formed_names_the_nearest(instance: str, tp: int, nearest: str) -> None:
    [(message, hint)] = refusals(instance, "llama3-8b-pretrain", 64, parallelism__tp=tp)

    assert message == f"parallelism.tp: NeuronX Distributed is not known to share products by {tp} on {instance}"
    assert hint == f"set parallelism.tp to {nearest}"


def test_key_value_heads_may_be_repeated_but_query_heads_may_not() -> None:
    recipe = load("llama3-8b-pretrain", ["instance=trn2.48xlarge", "parallelism={auto: false, tp: 32}"]).recipe

    assert derive(recipe, 64).tp == 32  # 8 key/value heads, four times each
    [(message, hint), *_] = refusals("trn2.48xlarge", "llama3-8b-pretrain", 64, parallelism__tp=64)
    assert "64 does not divide the 32 query heads" in message and hint == "set parallelism.tp to 32"


@pytest.mark.parametrize(
    ("recipe", "values", "message"),
    [
        ("mixtral-8x7b-pretrain", {}, "engine nxd trains no experts"),
        ("qwen3-600m-pretrain", {"parallelism__pp": 2}, "is also its head"),
        ("llama3-8b-continue-64k", {"parallelism__cp": 2}, "released up to 32768 positions"),
        ("llama3-8b-pretrain", {"data__sequence_length": 1024}, "1024 is not a multiple of 2048"),
        ("llama3-8b-pretrain", {"data__document_mask": "true"}, "no mask but the causal one"),
        (
            "llama3-8b-pretrain",
            {"platform__environment__NEURON_COMPILE_CACHE_URL": "s3://ours/graphs"},
            "NEURON_COMPILE_CACHE_URL is set by platform.compile_ahead",
        ),
        (
            "llama3-8b-pretrain",
            {"platform__environment__NEURON_CC_FLAGS": "--cache_dir=/fsx/graphs"},
            "NEURON_CC_FLAGS has --cache_dir, and platform.compile_ahead fills a cache of its own",
        ),
        ("debug-mistral", {"data__sequence_length": 2048, "batch__tokens": 131072}, "a sliding window"),
    ],
)
def test_what_it_does_not_train_is_refused(recipe: str, values: dict[str, object], message: str) -> None:
    assert message in "\n".join(text for text, _ in refusals("trn2.48xlarge", recipe, 64, **values))


def test_who_compiles_as_the_run_goes_may_keep_graphs_anywhere() -> None:
    chosen = ["platform.compile_ahead=false", "platform.environment.NEURON_COMPILE_CACHE_URL=/fsx/graphs"]
    recipe = load("llama3-8b-pretrain", ["instance=trn2.48xlarge", "parallelism={auto: false, tp: 32}", *chosen]).recipe
    assert derive(recipe, 64).tp == 32
