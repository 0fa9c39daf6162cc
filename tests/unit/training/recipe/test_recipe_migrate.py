"""Recipes of older versions keep their meaning; newer ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.recipe.load import load
from paceline.recipe.schema import VERSION
from paceline.spec.errors import RecipeError

FIRST = """\
description: written before recipes knew accelerators
model: {preset: debug}
batch: {tokens: 1024, micro_sequences: 2}
optimizer: {learning_rate: 0.001}
schedule: {steps: 10}
"""


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "first.yaml"
    path.write_text(FIRST)
    return path


def test_version_1_computes_in_float32_on_every_accelerator(first: Path) -> None:
    resolved = load(first, ["accelerator=gpu"])

    assert resolved.recipe.compute.precision == "float32"
    assert str(resolved.explain("compute.precision")[0].origin) == "first.yaml, which is of version 1"
    assert resolved.recipe.version == VERSION


def test_version_2_leaves_the_precision_to_the_accelerator(first: Path) -> None:
    first.write_text(f"version: 2\n{FIRST}")

    assert load(first, ["accelerator=gpu"]).recipe.compute.precision == "bfloat16"


def test_a_delta_of_version_1_says_nothing_about_what_its_base_leaves_open(first: Path) -> None:
    first.write_text("base: debug-llama\nseed: 1\n")

    assert load(first, ["accelerator=gpu"]).recipe.compute.precision == "bfloat16"


def test_what_version_1_wrote_stays(first: Path) -> None:
    first.write_text(f"{FIRST}compute: {{precision: bfloat16, compile: true}}\n")
    compute = load(first).recipe.compute

    assert (compute.precision, compute.compile) == ("bfloat16", True)


@pytest.mark.parametrize(
    ("version", "message", "hint"),
    [
        (VERSION + 1, f"version: {VERSION + 1} is newer than this paceline, which reads up to {VERSION}", "update"),
        (0, "version: is a number of 1 or above", f"write `version: {VERSION}`"),
        ("two", "version: is a number of 1 or above", f"write `version: {VERSION}`"),
    ],
)
def test_other_versions_are_refused(first: Path, version: object, message: str, hint: str) -> None:
    first.write_text(f"{FIRST}version: {version}\n")

    with pytest.raises(RecipeError) as caught:
        load(first)

    assert caught.value.problems[0].message == f"first.yaml:6: {message}"
    assert hint in str(caught.value.problems[0].hint)
