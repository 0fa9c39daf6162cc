"""The planner chooses the least model parallel that fits, and says why nothing does."""

from __future__ import annotations

import pytest

from paceline.models.families import FAMILIES
from paceline.plan.auto import TooLargeError, bytes_per_rank, fewest_nodes, settle
from paceline.plan.layout import derive
from paceline.plan.rule_of_thumb import at_least
from paceline.recipe.load import load
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError


def test_explicit_degrees_are_left_alone() -> None:
    resolved = load("debug-llama", ["parallelism.tp=2"])

    assert settle(resolved, nodes=1, processes_per_node=2) is resolved


def test_without_an_instance_type_memory_is_not_asked() -> None:
    chosen = settle(load("llama3-8b-pretrain", ["accelerator=cpu"]), nodes=1, processes_per_node=1).recipe.parallelism

    assert (chosen.auto, chosen.tp, chosen.pp, chosen.cp) == (False, 1, 1, 1)


def test_what_is_chosen_fits_and_nothing_simpler_does() -> None:
    resolved = load("llama3-8b-pretrain", ["instance=p4d.24xlarge"])
    found = settle(resolved, nodes=2, processes_per_node=8)
    free = 40 * 2**30 * 0.9

    def needed(tp: int) -> int:
        recipe = load("llama3-8b-pretrain", ["instance=p4d.24xlarge", f"parallelism={{auto: false, tp: {tp}}}"]).recipe
        return bytes_per_rank(recipe, derive(recipe, 16))

    chosen = found.recipe.parallelism
    assert chosen.pp == chosen.cp == 1
    assert needed(chosen.tp) <= free < needed(chosen.tp // 2)
    assert str(found.explain("parallelism.tp")[0].origin) == "auto, for 2 x 8 ranks"


def test_a_written_degree_stays_and_keeps_its_origin() -> None:
    resolved = load("llama3-8b-pretrain", ["instance=trn2.48xlarge", "parallelism.tp=32"])
    found = settle(resolved, nodes=1, processes_per_node=64)

    assert found.recipe.parallelism.tp == 32
    assert str(found.explain("parallelism.tp")[0].origin) == "--set parallelism.tp"


def test_too_large_a_model_names_what_it_needs_and_what_there_is() -> None:
    with pytest.raises(TooLargeError) as caught:
        settle(load("llama3-405b-pretrain"), nodes=1, processes_per_node=8)

    message = caught.value.problems[0].message
    assert message.startswith("parallelism: no layout of 1 x p5.48xlarge fits: the nearest (tp 8) needs ")
    assert message.endswith(" GiB a rank, and 72 are free")


def test_a_layout_that_nearly_fits_is_named_with_the_cures() -> None:
    with pytest.raises(TooLargeError) as caught:
        settle(load("llama3-8b-pretrain", ["instance=p5.4xlarge"]), nodes=2, processes_per_node=1)

    assert "no layout of 2 x p5.4xlarge fits: the nearest (" in caught.value.problems[0].message
    assert caught.value.problems[0].hint == "use more nodes, or set compute.activation_checkpointing to full"


def test_a_batch_that_no_layout_shares_is_refused_as_the_simplest_is() -> None:
    with pytest.raises(RecipeError, match="512 sequences, which 3 ranks cannot share"):
        settle(load("llama3-8b-pretrain", ["accelerator=cpu"]), nodes=3, processes_per_node=1)


def test_the_fewest_nodes_are_enough_and_half_are_not() -> None:
    resolved = load("llama3-70b-pretrain", ["instance=trn2.48xlarge"])
    nodes, found = fewest_nodes(resolved)

    derive(found.recipe, nodes * 64)
    with pytest.raises(RecipeError):
        derive(settle(resolved, nodes=nodes // 2, processes_per_node=64).recipe, nodes // 2 * 64)


def load_stage(stage: int) -> Recipe:
    overrides = ["engine=deepspeed", f"parallelism.zero={stage}", "parallelism.auto=false"]
    return load("llama3-8b-pretrain", overrides).recipe


def test_the_rule_of_thumb_counts_states_as_zero_does() -> None:
    one, two, three = (bytes_per_rank(recipe, derive(recipe, 64)) for recipe in map(load_stage, (1, 2, 3)))
    parameters = FAMILIES["llama"].preset("llama3.1-8b").parameters

    assert one - two == pytest.approx(4 * parameters * 63 / 64, rel=1e-6)
    assert two - three == pytest.approx(2 * parameters * 63 / 64, rel=1e-6)


@pytest.mark.parametrize("overrides", [["parallelism={auto: false, tp: 4}"], ["instance=trn2.48xlarge"]])
@pytest.mark.parametrize("world", [32, 64, 128])
def test_what_is_counted_is_never_less_than_what_no_rank_can_do_without(overrides: list[str], world: int) -> None:
    recipe = load("llama3-8b-pretrain", [*overrides, "parallelism.auto=false"]).recipe
    layout = derive(recipe, world)

    assert at_least(recipe, layout) <= bytes_per_rank(recipe, layout)
