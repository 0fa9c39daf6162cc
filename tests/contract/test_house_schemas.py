"""Generated files are those that the models generate: run `make schemas`."""

from __future__ import annotations

from pathlib import Path

from paceline.recipe import json_schema, reference

ROOT = Path(__file__).parents[2]


def test_the_schema_of_recipes_is_fresh() -> None:
    assert json_schema.PATH.read_text() == json_schema.generate()


def test_the_reference_of_recipes_is_fresh() -> None:
    assert (ROOT / reference.DOCUMENT).read_text(encoding="utf-8") == reference.render(ROOT)
