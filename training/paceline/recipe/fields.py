"""What a recipe may say, field by field, without any recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from paceline.recipe.schema import Recipe
from paceline.spec.documents import nearest
from paceline.spec.errors import RecipeError

_WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldFacts:
    """A field of the schema. `kind` is its type as people write it; `default` is JSON, or None if it must be given."""

    path: str
    kind: str
    default: str | None
    meaning: str | None


def explain(key: str) -> list[FieldFacts]:
    """The field at the dotted path `key`, or all fields of that section. RecipeError if there is neither."""
    every = list(_fields(Recipe, ""))
    found = [field for field in every if field.path == key or field.path.startswith(f"{key}.")]
    if not found:
        raise RecipeError(f"{key}: no such value in a recipe", nearest(key, [field.path for field in every]))
    return found


def _fields(model: type[BaseModel], prefix: str) -> Iterator[FieldFacts]:
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            yield from _fields(section, f"{prefix}{name}.")
        else:
            yield FieldFacts(
                path=f"{prefix}{name}", kind=_kind(field), default=_default(field), meaning=field.description
            )


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that is `annotation`, or that it may be besides null."""
    options = get_args(annotation) or (annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _kind(field: FieldInfo) -> str:
    bounds = [f"{sign} {rule}" for name, sign in _BOUNDS.items() for rule in _bounds(field, name)]
    return ", ".join([_words(field.annotation), *bounds])


def _words(annotation: Any) -> str:
    *others, last = _options(annotation)
    return f"{', '.join(others)} or {last}" if others else last


def _options(annotation: Any) -> list[str]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [str(value) for value in parts]
    if origin in (Union, UnionType):
        return [option for part in parts for option in _options(part)]
    if origin is tuple and parts[-1] is Ellipsis:
        return [f"list of {_words(parts[0])}"]
    if origin is tuple:
        return [f"[{', '.join(_words(part) for part in parts)}]"]
    if origin is dict:
        return [f"mapping of {_words(parts[0])} to {_words(parts[1])}"]
    return [_WORDS[annotation]]


def _bounds(field: FieldInfo, name: str) -> list[Any]:
    return [value for rule in field.metadata if (value := getattr(rule, name, None)) is not None]


def _default(field: FieldInfo) -> str | None:
    return None if field.is_required() else json.dumps(field.default)
