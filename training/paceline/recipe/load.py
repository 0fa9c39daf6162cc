"""From a recipe's name to the resolved recipe: find the file, follow its bases, lay overrides on top, validate.

A recipe file is a delta: `base:` names the recipe that it changes, and only what differs is written. The origin of
every value (file and line, the `--set` that gave it, the accelerator's table, or the defaults) is kept, so that
messages and `explain` can say where a value comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from paceline.recipe.engines import problems
from paceline.recipe.migrate import migrate
from paceline.recipe.resolve import over, reason, resolve
from paceline.recipe.schema import Recipe
from paceline.spec.documents import Document, Origin, Path_, dotted, nearest, override, read, validate
from paceline.spec.errors import RecipeError

_SHORTHANDS = {"train.steps": "schedule.steps"}  # how most other tools call it

_PACKAGE = Path(__file__).parent.parent

# The recipes that ship with paceline: in the installed package, or beside it in a checkout.
RECIPES = next(folder for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes") if folder.is_dir())


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One value of a resolved recipe. `path` is dotted; `value` is what JSON can hold; `meaning` is the schema's."""

    path: str
    value: Any
    origin: Origin
    meaning: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A complete recipe and the document that it was made from."""

    recipe: Recipe
    document: Document

    @property
    def sha256(self) -> str:
        """Identity of the recipe: equal when every value, written or defaulted, is equal."""
        return hashlib.sha256(canonical_json(self.recipe).encode()).hexdigest()

    def values(self) -> list[Value]:
        """Every value of the recipe with its origin, in the order of the schema."""
        return [
            Value(path=dotted(path), value=value, origin=self._origin(path), meaning=_meaning(self.recipe, path))
            for path, value in _leaves(self.recipe.model_dump(mode="json"))
        ]

    def explain(self, key: str) -> list[Value]:
        """The value at the dotted path `key`, or all values of the section `key`. RecipeError if there is neither."""
        values = self.values()
        found = [value for value in values if value.path == key or value.path.startswith(f"{key}.")]
        if not found:
            raise RecipeError(f"{key}: no such value in a recipe", nearest(key, [value.path for value in values]))
        return found

    def _origin(self, path: Path_) -> Origin:
        """A value that nobody wrote is a default, even inside a section that somebody wrote."""
        return self.document.origins.get(path, Origin(source="defaults"))


def names() -> list[str]:
    """The recipes that ship with paceline."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load(recipe: str | Path, overrides: Sequence[str] = ()) -> Resolved:
    """Resolve `recipe` (a shipped name, or the path of a file) with `overrides` such as `schedule.steps=10` on top.

    Raises RecipeError with every problem found.
    """
    document = _with_bases(_find(str(recipe), Path()), ())
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"--set {text}: no value is given", "write --set section.key=value")
        document = over(override(_SHORTHANDS.get(path, path), value, "--set", RecipeError), document)
    return complete(resolve(document))


def complete(document: Document) -> Resolved:
    """The recipe that a resolved document is; RecipeError with all that is wrong with it."""
    recipe = validate(Recipe, document, RecipeError)
    if found := list(problems(recipe, document)):
        raise RecipeError.of(found)
    return Resolved(recipe=recipe, document=document)


def canonical_json(recipe: Recipe) -> str:
    """The same text for the same values: sorted keys, no white space."""
    return json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _find(recipe: str, beside: Path) -> Path:
    """The file of a shipped name or of a path; relative paths start at `beside`."""
    if "/" in recipe or recipe.endswith((".yaml", ".yml")):
        path = beside / recipe
        if not path.is_file():
            raise RecipeError(f"recipe {recipe}: there is no such file", f"shipped recipes go by name: {_listed()}")
        return path
    if recipe not in names():
        raise RecipeError(f"recipe {recipe}: there is no such recipe", nearest(recipe, names()))
    return RECIPES / f"{recipe}.yaml"


def _listed() -> str:
    return ", ".join(names())


def _with_bases(path: Path, above: tuple[Path, ...]) -> Document:
    """The document of `path` over those of its bases. `above` are the files that led here."""
    path = path.resolve()
    if path in above:
        circle = " -> ".join(file.stem for file in (*above[above.index(path) :], path))
        raise RecipeError(f"{_shown(path)}: base: goes in a circle: {circle}", "remove one `base:`")
    written = migrate(read(path, RecipeError, name=_shown(path)))
    named = Document(data={"name": path.stem}, origins={("name",): Origin(source=_shown(path))})
    base = written.data.get("base")
    delta = replace(written, data={key: value for key, value in written.data.items() if key != "base"})
    document = over(delta, named)
    if base is None:
        return document
    if not isinstance(base, str):
        raise RecipeError(f"{written.origin(('base',))}: base: must be the name or the path of a recipe")
    try:
        parent = _find(base, path.parent)
    except RecipeError as cause:
        raise RecipeError(f"{written.origin(('base',))}: base: {cause}", cause.problems[0].hint) from cause
    return over(document, _with_bases(parent, (*above, path)))


def _shown(path: Path) -> str:
    """How messages call a file: relative to where the user is, if it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _leaves(node: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path, node


def _meaning(record: BaseModel, path: Path_) -> str | None:
    *sections, last = (str(part) for part in path)
    if sections == ["platform", "environment"]:
        return reason(last)
    for section in sections:
        record = getattr(record, section)
    return type(record).model_fields[last].description
