"""Two resolved parameter files compared field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from paceline.spec.documents import Path_, dotted
from stacks.settings import Parameters

Update = Literal["live", "drain", "replace", "never"]
Obstacle = Literal["data", "fixed", "back", "leap"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field. `old` or `new` is None where there was or will be nothing; `meaning` describes the field.

    `update` is the field's own class (stacks/settings/update.py). What is added disturbs nothing, hence `live`.
    `obstacle` says why a `never` is one: it would lose data, its stacks would be others and the old ones stay, AWS lets
    the value only grow, or only step by step.
    """

    path: Path_
    old: Any
    new: Any
    update: Update
    meaning: str
    obstacle: Obstacle | None = None

    @property
    def key(self) -> str:
        return dotted(self.path)


def compare(old: Parameters, new: Parameters) -> tuple[Change, ...]:
    """Every field that differs, in the order of the settings."""
    return tuple(_of_models(old, new, ()))


def _of_models(old: BaseModel, new: BaseModel, path: Path_) -> Iterator[Change]:
    for name, field in type(new).model_fields.items():
        yield from _of_values(getattr(old, name), getattr(new, name), (*path, name), field)


def _of_values(old: Any, new: Any, path: Path_, field: FieldInfo) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(new, BaseModel) and type(old) is type(new):
        yield from _of_models(old, new, path)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):  # the old order, then what is new
            yield from _of_values(old.get(key), new.get(key), (*path, key), field)
    else:
        update, obstacle = _judged(old, new, field)
        meaning = _first_clause(field.description or "")
        yield Change(path=path, old=_plain(old), new=_plain(new), update=update, meaning=meaning, obstacle=obstacle)


def _judged(old: Any, new: Any, field: FieldInfo) -> tuple[Update, Obstacle | None]:
    if old is None:
        return "live", None
    extra: Any = field.json_schema_extra
    if not isinstance(extra, dict):  # a section, which holds resources: without it they go
        return "replace", None
    update: Update = extra["update"]
    if new is not None and "grows" in extra:
        before, after = _number(old), _number(new)
        if after < before:
            return "never", "back"
        if "step" in extra and (after[0] != before[0] or after[1] > before[1] + extra["step"]):
            return "never", "leap"
    if update == "never":
        return "never", "fixed" if "fixed" in extra else "data"
    if "parts" in extra and set(old) - set(new or ()):
        return "replace", None
    # a part with fields (a capacity source, a role's people) is resources of its own, and without it they go
    return ("replace" if isinstance(old, BaseModel) and new is None and update == "live" else update), None


def _number(value: Any) -> tuple[int, ...]:
    """A size or a version, so that 1.9 comes before 1.10."""
    return tuple(int(part) for part in str(value).split("."))


def _plain(value: Any) -> Any:
    """A value as the file would say it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _first_clause(description: str) -> str:
    """What the field is; how to choose its value is for the reference."""
    return re.split(r"(?<!e\.g)[.;] ", description, maxsplit=1)[0]
