"""What engines can do and need, without their libraries: engines.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import yaml
from pydantic import BaseModel, Field

from paceline.recipe.schema import Recipe
from paceline.spec.base import Record
from paceline.spec.documents import Document
from paceline.spec.errors import LaunchError, Problem


class EngineFacts(Record):
    """One engine. `values` are the legal ones of some dotted paths of a recipe, `previews` those that platform.preview
    adds, `reasons` why there are no others where one may wonder; `needs` is the module that it imports, `cure` says
    what brings it."""

    needs: str
    cure: str
    values: dict[str, tuple[Any, ...]]
    previews: dict[str, tuple[Any, ...]] = Field(default={})
    reasons: dict[str, str] = Field(default={})


@cache
def engines() -> dict[str, EngineFacts]:
    """All rows by the name of the engine."""
    text = files(__package__).joinpath("engines.yaml").read_text(encoding="utf-8")
    return {name: EngineFacts.model_validate(row) for name, row in yaml.safe_load(text).items()}


def problems(recipe: Recipe, document: Document) -> Iterator[Problem]:
    """What the recipe asks of its engine that it does not do; `document` knows who asks."""
    own = engines()[recipe.engine]
    for path, legal in own.values.items():
        value, preview = _value(recipe, path), own.previews.get(path, ())
        if value in legal or (recipe.platform.preview and value in preview):
            continue
        able = [name for name, facts in engines().items() if value in facts.values.get(path, (value,))]
        cures = [f"set {path} to {' or '.join(map(_shown, legal))}"]
        if able:
            cures.append(f"or engine to {' or '.join(able)}")
        if value in preview:
            cures.append("or platform.preview to true")
        where = document.origin(tuple(path.split(".")))
        because = f": {own.reasons[path]}" if path in own.reasons else ""
        message = f"{where}: {path}: engine {recipe.engine} does not do {_shown(value)}{because}"
        yield Problem(message=message, hint=", ".join(cures))


def require(engine: str) -> None:
    """LaunchError when what `engine` imports is not installed here."""
    facts = engines()[engine]
    if find_spec(facts.needs) is None:
        raise LaunchError(f"engine {engine}: needs {facts.needs}, which is not installed", facts.cure)


def _value(recipe: Recipe, path: str) -> Any:
    """What stands at the dotted `path`; None inside a section that is not there."""
    node: BaseModel | Any = recipe
    for part in path.split("."):
        node = getattr(node, part, None)
    return node


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
