"""The seconds of a step, against figures that fit on the back of an envelope."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.models.families import FAMILIES
from paceline.plan.flops import flops_per_token
from paceline.plan.hardware import Hardware
from paceline.plan.layout import derive
from paceline.plan.step_time import StepTime, step_time
from paceline.plan.work import work
from paceline.recipe.load import load
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

NODE = Hardware(name="a node", processes=8, within_node=400e9, between_nodes=320e9)
RATE = 1e14


def recipe(*overrides: str, name: str = "llama3-8b-pretrain") -> Recipe:
    plain = ("parallelism.auto=false", "compute.activation_checkpointing=none", *overrides)
    return load(name, plain).recipe


def timed(chosen: Recipe, ranks: int, hardware: Hardware = NODE, **options: Any) -> StepTime:
    return step_time(chosen, derive(chosen, ranks), hardware, RATE, **options)


def test_one_rank_does_the_models_arithmetic_but_for_what_attention_masks() -> None:
    """Half of attention is masked, and backward computes its scores once more: 3.5 times half of four products, where
    the convention has three times all of them. The convention also counts the few parameters of norms."""
    chosen = recipe()
    config = FAMILIES["llama"].preset("llama3.1-8b")
    done = work(chosen, config, derive(chosen, 1))
    attention = 12 * 32 * 4096 * 8192
    assert done.total / 8192 == pytest.approx(flops_per_token(config, 8192) + attention * (3.5 / 6 - 1), rel=1e-4)


def test_alone_a_step_is_its_arithmetic() -> None:
    chosen = recipe()
    found = timed(chosen, 1)
    done = work(chosen, FAMILIES["llama"].preset("llama3.1-8b"), derive(chosen, 1))

    assert found.total == found.compute == pytest.approx(512 * done.total / RATE)


def test_twice_the_ranks_take_half_the_time_while_gathering_hides() -> None:
    one, two = timed(recipe(), 8), timed(recipe(), 16)

    assert two.compute == one.compute / 2
    assert 0 < two.data_parallel < 0.05 * two.compute


def test_full_checkpointing_does_the_layers_once_more() -> None:
    plain, full = (work(chosen, FAMILIES["llama"].preset("llama3.1-8b"), derive(chosen, 1)) for chosen in (
        recipe(), recipe("compute.activation_checkpointing=full")))  # fmt: skip

    assert full.attention == pytest.approx(plain.attention * 4.5 / 3.5)
    assert plain.products * 1.3 < full.products < plain.products * 4 / 3


def test_a_frozen_model_saves_the_gradients_of_its_weights() -> None:
    config = FAMILIES["llama"].preset("llama3.1-8b")
    lora, sft = recipe(name="llama3-8b-lora"), recipe(name="llama3-8b-sft")
    frozen, learned = (work(chosen, config, derive(chosen, 1)) for chosen in (lora, sft))

    assert frozen.products * lora.batch.micro_sequences**-1 == pytest.approx(
        learned.products / sft.batch.micro_sequences * 2 / 3
    )


def test_tensor_parallel_sends_eight_times_the_hidden_states_of_a_layer() -> None:
    found = timed(recipe("parallelism.tp=8"), 8)
    hidden = 8192 * 4096 * 2

    assert found.tensor_parallel == pytest.approx(512 * (32 * 8 + 4) * hidden * 7 / 8 / NODE.within_node)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("schedule", "waits"),
    [(("pp=4",), 3.0), (("pp=4", "stages_per_rank=2"), 1.5), (("pp=4", "pp_schedule=zero_bubble"), 1.0)],
)
def test_a_pipeline_waits_for_the_passes_of_its_bubble(schedule: tuple[str, ...], waits: float) -> None:
    chosen = recipe(*(f"parallelism.{each}" for each in schedule))
    found, passes = timed(chosen, 8), derive(chosen, 8).micro_steps

    assert found.bubble == pytest.approx((found.compute + found.pipeline) / passes * waits)


def test_experts_are_reached_over_the_network_once_they_span_nodes() -> None:
    """Eight of sixteen ranks of a group are on a node, which shares its network between them."""
    within = recipe("parallelism.ep=8", name="qwen3-30b-a3b-pretrain")
    wide = recipe("parallelism.ep=16", name="qwen3-30b-a3b-pretrain")

    ratio = timed(wide, 64).expert_parallel / timed(within, 64).expert_parallel
    assert ratio == pytest.approx((15 / 16) / (7 / 8) * 400 / 320)


def test_a_ring_hides_behind_attention_until_its_links_are_slow() -> None:
    chosen = recipe("parallelism.cp=4")
    slow = Hardware(name="slow", processes=8, within_node=1e8, between_nodes=320e9)

    assert timed(chosen, 8).context_parallel == 0
    assert timed(chosen, 8, slow).context_parallel > 0


def test_a_link_that_nobody_knows_is_refused_unless_the_rate_was_measured_with_it() -> None:
    unknown = Hardware(name="a box", processes=8)

    with pytest.raises(RecipeError, match="nobody knows how fast 8 of its ranks reach each other"):
        timed(recipe(), 8, unknown)
    assert timed(recipe(), 8, unknown, links_in_rate=True).data_parallel == 0


def test_ranks_of_a_group_share_what_leaves_the_node() -> None:
    """Sixteen ranks that are neighbours have all of the network; those of eight groups an eighth of it each."""
    assert NODE.bandwidth(8, 1) == 400e9
    assert NODE.bandwidth(16, 1) == 320e9
    assert NODE.bandwidth(16, 8) == 40e9
    assert NODE.bandwidth(4, 4) == 80e9
