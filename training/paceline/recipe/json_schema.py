"""Write the JSON schema of recipes: `python -m paceline.recipe.json_schema`."""

from __future__ import annotations

import json
from typing import Any

from paceline.recipe.load import RECIPES
from paceline.recipe.resolve import ACCELERATORS
from paceline.recipe.schema import Recipe
from paceline.spec.json_schema import editor_schema

PATH = RECIPES / "schema.json"

BASE = {"base": {"type": "string", "description": "the recipe that this one changes: a name, or a path beside it"}}


def generate() -> str:
    schema = json.loads(editor_schema(Recipe, more=BASE))
    _allow_intents(schema)
    return json.dumps(schema, indent=2) + "\n"


def _allow_intents(schema: dict[str, Any]) -> None:
    """What only files have: the word `auto`, and degrees for one accelerator (paceline/recipe/resolve.py)."""
    degrees = {"anyOf": [{"const": "auto"}, {"$ref": "#/$defs/Parallelism"}]}
    schema["properties"]["parallelism"] = degrees
    of_accelerator = {"description": "degrees on this accelerator, over those for all", **degrees}
    schema["$defs"]["Parallelism"]["properties"] |= dict.fromkeys(ACCELERATORS, of_accelerator)


if __name__ == "__main__":
    PATH.write_text(generate(), encoding="utf-8")
