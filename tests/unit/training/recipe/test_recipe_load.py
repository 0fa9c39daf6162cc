"""Recipes: found by name or path, laid over their bases, overridden, validated, explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.recipe.load import RECIPES, Resolved, canonical_json, load, names
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

WHOLE = """\
description: whole
model:
  preset: debug
batch:
  tokens: 1024
  micro_sequences: 2
optimizer:
  learning_rate: 0.001
schedule:
  steps: 10
"""


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe file in the current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "whole.yaml"
    path.write_text(WHOLE)
    return path


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return f"./{name}"


def origin(resolved: Resolved, key: str) -> str:
    [value] = resolved.explain(key)
    return str(value.origin)


@pytest.mark.parametrize("name", names())
def test_every_shipped_recipe_resolves_under_its_own_name(name: str) -> None:
    assert load(name).recipe.name == name


@pytest.mark.parametrize("name", names())
def test_every_shipped_recipe_tells_editors_its_schema(name: str) -> None:
    first = (RECIPES / f"{name}.yaml").read_text().splitlines()[0]

    assert first == "# yaml-language-server: $schema=./schema.json"


def test_the_debug_recipe_fits_two_nodes() -> None:
    recipe = load("debug-llama").recipe

    assert recipe.sequences_per_step % (2 * recipe.batch.micro_sequences) == 0


def test_the_name_is_that_of_the_file_unless_it_says_otherwise(whole: Path) -> None:
    assert load(whole).recipe.name == "whole"
    assert load(write("other.yaml", f"name: mine\n{WHOLE}")).recipe.name == "mine"


def test_a_delta_changes_only_what_it_says(whole: Path) -> None:
    recipe = load(write("delta.yaml", "base: ./whole.yaml\nschedule:\n  warmup_steps: 3\n")).recipe

    assert recipe.name == "delta"
    assert (recipe.schedule.steps, recipe.schedule.warmup_steps) == (10, 3)
    assert recipe.model == load(whole).recipe.model


def test_a_base_is_a_shipped_name_or_a_path_beside_the_file(whole: Path) -> None:
    assert (
        load(write("a.yaml", "base: debug-llama\n")).recipe.schedule.steps == load("debug-llama").recipe.schedule.steps
    )
    assert load(write("sub/b.yaml", "base: ../whole.yaml\n")).recipe.schedule.steps == 10


def test_bases_have_bases(whole: Path) -> None:
    write("middle.yaml", "base: ./whole.yaml\nseed: 7\n")

    recipe = load(write("top.yaml", "base: middle.yaml\nschedule: {steps: 99}\n")).recipe

    assert (recipe.seed, recipe.schedule.steps, recipe.optimizer.learning_rate) == (7, 99, 0.001)


def test_bases_in_a_circle_are_refused(whole: Path) -> None:
    write("a.yaml", "base: ./b.yaml\n")
    write("b.yaml", "base: ./a.yaml\n")

    with pytest.raises(RecipeError, match=r"a\.yaml: base: goes in a circle: a -> b -> a"):
        load("./a.yaml")


def test_an_unknown_base_names_the_line_that_asks_for_it(whole: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write("a.yaml", "seed: 1\nbase: debug-lama\n"))

    assert caught.value.render() == (
        "error: a.yaml:2: base: recipe debug-lama: there is no such recipe\n\nhint: did you mean `debug-llama`?"
    )


def test_a_base_that_is_no_name_is_refused(whole: Path) -> None:
    with pytest.raises(RecipeError, match=r"a\.yaml:1: base: must be the name or the path"):
        load(write("a.yaml", "base: [debug-llama]\n"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        load("debug-lama")

    assert caught.value.problems[0].hint == "did you mean `debug-llama`?"


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(RecipeError) as caught:
        load("zzz")

    assert caught.value.problems[0].hint == f"there is: {', '.join(names())}"


def test_a_missing_file_is_a_user_error(whole: Path) -> None:
    with pytest.raises(RecipeError, match="recipe ./nope.yaml: there is no such file"):
        load("./nope.yaml")


# --- overrides


def test_overrides_win_and_the_last_one_most(whole: Path) -> None:
    recipe = load(whole, ["schedule.steps=5", "optimizer.learning_rate=3e-4", "schedule.steps=6"]).recipe

    assert (recipe.schedule.steps, recipe.optimizer.learning_rate) == (6, 3e-4)


def test_mistakes_in_overrides_are_reported_together(whole: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(whole, ["schedule.stps=5", "modle.preset=x", "seed=-1"])

    assert [(p.message, p.hint) for p in caught.value.problems] == [
        ("--set schedule.stps: schedule.stps: unknown field", "did you mean `steps`?"),
        (
            "--set seed: seed: input should be greater than or equal to 0 (got -1)",
            "`seed`: decides the initial parameters",
        ),
        ("--set modle.preset: modle: unknown field", "did you mean `model`?"),
    ]


def test_an_override_without_a_value_is_refused(whole: Path) -> None:
    with pytest.raises(RecipeError, match="--set schedule.steps: no value is given"):
        load(whole, ["schedule.steps"])


def test_an_override_cannot_change_the_base(whole: Path) -> None:
    with pytest.raises(RecipeError, match="--set base: base: unknown field"):
        load(whole, ["base=debug-llama"])


# --- rules of the schema


def test_a_batch_of_broken_sequences_names_the_nearest_legal_values(whole: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(whole, ["batch.tokens=1000"])

    [problem] = caught.value.problems
    assert "batch.tokens (1000) is not a multiple of data.sequence_length (256)" in problem.message
    assert problem.hint == "the nearest legal values are 768 and 1024"


def test_a_warmup_longer_than_the_run_is_refused(whole: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"--set schedule.warmup_steps: schedule: warmup_steps \(10\) must be below steps \(10\)"
    ):
        load(whole, ["schedule.warmup_steps=10"])


# --- identity and origins


def test_the_hash_is_of_the_values_not_of_how_they_are_written(whole: Path) -> None:
    plain = load(whole)
    spelled = load(write("sub/whole.yaml", f"base: ../whole.yaml\n{WHOLE}seed: 0\n"))

    assert plain.sha256 == spelled.sha256
    assert plain.sha256 != load(whole, ["seed=1"]).sha256


def test_the_canonical_text_reads_back_as_the_same_recipe(whole: Path) -> None:
    recipe = load(whole).recipe

    assert Recipe.model_validate_json(canonical_json(recipe)) == recipe


def test_each_value_knows_where_it_comes_from(whole: Path) -> None:
    resolved = load(write("delta.yaml", "base: ./whole.yaml\nschedule:\n  steps: 20\n"), ["seed=3"])

    assert origin(resolved, "schedule.steps") == "delta.yaml:3"
    assert origin(resolved, "optimizer.learning_rate") == "whole.yaml:8"
    assert origin(resolved, "seed") == "--set seed"
    assert origin(resolved, "schedule.kind") == "defaults"  # in a section that somebody wrote
    assert origin(resolved, "name") == "delta.yaml"


def test_a_section_is_explained_value_by_value(whole: Path) -> None:
    found = load(whole).explain("batch")

    assert [(value.path, value.value) for value in found] == [("batch.tokens", 1024), ("batch.micro_sequences", 2)]
    assert found[0].meaning == "global batch: tokens per optimizer step over all ranks"


def test_explaining_an_unknown_key_suggests_the_nearest(whole: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(whole).explain("schedule.stpes")

    assert caught.value.problems[0].hint == "did you mean `schedule.steps`?"
