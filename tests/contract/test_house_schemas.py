"""Generated files are those that the models generate: run `make schemas`."""

from __future__ import annotations

from paceline.recipe import json_schema


def test_the_schema_of_recipes_is_fresh() -> None:
    assert json_schema.PATH.read_text() == json_schema.generate()
