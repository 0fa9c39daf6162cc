"""What two recipes do differently, and what a field means without any."""

from __future__ import annotations

import pytest

from paceline.recipe.diff import differences
from paceline.recipe.fields import explain
from paceline.recipe.load import load
from paceline.spec.errors import RecipeError


def test_only_what_differs_is_listed_with_both_origins() -> None:
    [found] = differences(load("debug-llama"), load("debug-llama", ["schedule.steps=70"]))

    assert found.path == "schedule.steps"
    assert found.left is not None and found.right is not None
    assert (found.left.value, found.right.value) == (120, 70)
    assert str(found.right.origin) == "--set schedule.steps"


def test_a_value_that_only_one_has_is_listed() -> None:
    found = {d.path: d for d in differences(load("smollm2-135m-sft"), load("smollm2-135m-lora"))}

    assert found["adapter.rank"].left is None
    assert found["adapter.rank"].right is not None and found["adapter.rank"].right.value == 64
    assert "description" not in found


def test_a_recipe_does_not_differ_from_itself() -> None:
    assert differences(load("debug-tiny"), load("debug-tiny")) == []


def test_a_field_is_explained_with_its_bounds() -> None:
    [field] = explain("schedule.final_fraction")

    assert (field.kind, field.default) == ("number, >= 0, <= 1", "0.1")
    assert field.meaning == "last learning rate over the peak"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("method", "pretrain, sft, dpo or reward"),
        ("accelerator", "cpu, gpu, trainium or null"),
        ("parallelism.dp_shard", "integer or null, >= 1"),
        ("adapter.targets", "list of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj"),
        ("optimizer.betas", "[number, number]"),
        ("platform.environment", "mapping of text to text"),
    ],
)
def test_a_type_is_said_in_words(key: str, kind: str) -> None:
    assert [field.kind for field in explain(key)] == [kind]


def test_a_section_is_explained_field_by_field_and_what_must_be_given_has_no_default() -> None:
    defaults = {field.path: field.default for field in explain("batch")}

    assert defaults == {"batch.tokens": None, "batch.micro_sequences": None}
    assert {field.path.rpartition(".")[0] for field in explain("adapter")} == {"adapter"}


def test_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        explain("schedule.step")

    assert caught.value.problems[0].hint == "did you mean `schedule.steps`?"
