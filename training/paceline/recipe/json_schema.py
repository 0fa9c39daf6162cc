"""Write the JSON schema of recipes: `python -m paceline.recipe.json_schema`."""

from __future__ import annotations

from paceline.recipe.load import RECIPES
from paceline.recipe.schema import Recipe
from paceline.spec.json_schema import editor_schema

PATH = RECIPES / "schema.json"

BASE = {"base": {"type": "string", "description": "the recipe that this one changes: a name, or a path beside it"}}


def generate() -> str:
    return editor_schema(Recipe, more=BASE)


if __name__ == "__main__":
    PATH.write_text(generate(), encoding="utf-8")
