"""What an engine does not do is refused before it is started, and what is not installed is named."""

from __future__ import annotations

import pytest

from paceline.engines.registry import check, create
from paceline.recipe import engines
from paceline.recipe.load import load
from paceline.recipe.schema import Recipe
from paceline.spec.errors import LaunchError, RecipeError


def test_all_that_an_engine_does_not_do_comes_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        load("debug-llama", ["accelerator=trainium", "compute.compile=true", "method=reward", "model.weights=x"])

    assert [(p.message, p.hint) for p in caught.value.problems] == [
        (
            "--set method: method: engine nxd does not do reward",
            "set method to pretrain or sft or dpo, or engine to torch or deepspeed",
        ),
        (
            "--set compute.compile: compute.compile: engine nxd does not do true",
            "set compute.compile to false, or engine to torch",
        ),
    ]


def test_every_path_and_value_of_the_table_is_one_of_the_schema() -> None:
    for facts in engines.engines().values():
        for path, values in facts.values.items():
            node: object = Recipe.model_construct(**dict.fromkeys(Recipe.model_fields))
            fields = Recipe.model_fields
            *sections, last = path.split(".")
            for section in sections:
                options = getattr(fields[section].annotation, "__args__", (fields[section].annotation,))
                fields = next(o for o in options if hasattr(o, "model_fields")).model_fields
            assert last in fields and values and node


def test_a_refusal_that_may_surprise_has_its_reason() -> None:
    with pytest.raises(RecipeError) as caught:
        load("debug-llama", ["engine=deepspeed", "parallelism.tp=2"])

    [problem] = caught.value.problems
    assert problem.message.endswith(
        "parallelism.tp: engine deepspeed does not do 2:"
        " ZeRO cuts AutoTP's share of a matrix into pieces that no checkpoint can place in the whole"
    )
    assert problem.hint == "set parallelism.tp to 1, or engine to torch or nxd"


def test_reasons_are_for_what_has_legal_values() -> None:
    for facts in engines.engines().values():
        assert facts.reasons.keys() <= facts.values.keys()


def test_engines_are_those_of_the_schema() -> None:
    assert {*engines.engines()} == set(Recipe.model_fields["engine"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["deepspeed", "nxd"])
def test_an_engine_that_is_not_here_is_refused_with_a_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda module: None)
    with pytest.raises(LaunchError) as caught:
        create(name)

    assert caught.value.problems[0].message.startswith(f"engine {name}: ")
    assert caught.value.problems[0].hint


def test_the_default_engine_is_here() -> None:
    check("torch")
