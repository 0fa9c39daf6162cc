"""The accelerator switch: from `accelerator` or `instance` to everything that depends on it. Pure.

The values of the accelerator (accelerators.yaml) are laid under what people wrote and over the defaults of the schema,
so that each can be overridden like any other and knows where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.recipe.schema import Accelerator, Parallelism
from paceline.spec.documents import Document, Origin, Path_, nearest, read, validate
from paceline.spec.errors import RecipeError

TABLE = Path(__file__).with_name("accelerators.yaml")
ACCELERATORS: tuple[str, ...] = get_args(Accelerator)
PLANNED = ("tp", "cp", "pp", "ep")
"""The degrees that `auto` leaves to the planner."""

_OF_FAMILY = {"nvidia": "gpu", "neuron": "trainium"}


def over(upper: Document, lower: Document) -> Document:
    """`upper` laid over `lower`. Accelerator and instance are one choice: who writes one of them unsays the other.

    `parallelism` may be a word or a section (`_parallelism`); only sections of the same form are merged.
    """
    one_choice = {"accelerator", "instance"}
    if one_choice & upper.data.keys():
        lower = _without(lower, one_choice)
    return _plain_parallelism(upper).over(_plain_parallelism(lower))


def resolve(document: Document) -> Document:
    """`document` with the values of its accelerator under it; the same document if it names none.

    RecipeError for an instance type that the catalog does not know, or that is another accelerator than the one named.
    """
    accelerator, instance = _choice(document)
    document = _for_accelerator(document, accelerator)
    if accelerator is None:
        return document
    under = _section(_table(), accelerator)
    engine, engines = document.data.get("engine", under.data["engine"]), _section(_table(), "engines")
    if engine in engines.data:
        under = _section(engines, engine).over(under)
    if "instance" in under.data and instance is None:
        instance = instance_types()[under.data["instance"]]
    if instance is not None:
        under = _of_instance(instance).over(under)
    given = Document(data={"accelerator": accelerator}, origins={("accelerator",): document.origin(("instance",))})
    return document.over(given.over(under))


def reason(variable: str) -> str | None:
    """Why a variable of the environment is set, if the switch sets it."""
    found: str | None = _table().data["reasons"].get(variable)
    return found


def _choice(document: Document) -> tuple[str | None, InstanceType | None]:
    """The accelerator, and the row of the instance type that is named."""
    accelerator, name = document.data.get("accelerator"), document.data.get("instance")
    if accelerator not in (None, *ACCELERATORS):
        where = document.origin(("accelerator",))
        raise RecipeError(f"{where}: accelerator: unknown: {accelerator}", nearest(str(accelerator), [*ACCELERATORS]))
    if name is None:
        return accelerator, None
    where, rows = document.origin(("instance",)), instance_types()
    if name not in rows:
        raise RecipeError(f"{where}: instance: {name} is not in the catalog", nearest(str(name), list(rows)))
    implied = _OF_FAMILY[rows[name].family]
    if accelerator not in (None, implied):
        raise RecipeError(
            f"{where}: instance: {name} is a {implied}, and accelerator is {accelerator}", "write one of the two"
        )
    return implied, rows[name]


def _of_instance(row: InstanceType) -> Document:
    """What follows from the instance type: how many processes a node runs, and the values of its family."""
    if row.processes is None:
        raise RecipeError(
            f"instance: the catalog does not know how many processes {row.instance_type} runs",
            "set platform.processes_per_node and accelerator instead of instance",
        )
    origin = Origin(source=f"catalog: {row.instance_type}")
    processes = Document(
        data={"platform": {"processes_per_node": row.processes}},
        origins={("platform", "processes_per_node"): origin},
    )
    families = _section(_table(), "instances")
    for family in families.data:
        if row.instance_type.startswith(family):
            processes = processes.over(_section(families, family))
    return processes


def _for_accelerator(document: Document, accelerator: str | None) -> Document:
    """`parallelism` as the schema has it: the degrees for `accelerator` over those for all, the others left out."""
    document = _plain_parallelism(document)
    if not isinstance(document.data.get("parallelism"), Mapping):
        return document
    section = _section(document, "parallelism")
    degrees = _without(section, set(ACCELERATORS))
    for name in ACCELERATORS:
        if name not in section.data:
            continue
        if not isinstance(section.data[name], Mapping):
            where = section.origin((name,))
            raise RecipeError(f"{where}: parallelism.{name}: neither degrees nor `auto`", f"write {name}: {{tp: 8}}")
        chosen = _section(section, name)
        validate(Parallelism, chosen, RecipeError)  # a misspelt degree is found before its accelerator is chosen
        if name == accelerator:
            degrees = chosen.over(degrees)
    return _with_section(document, "parallelism", degrees)


def _plain_parallelism(document: Document) -> Document:
    """The word `auto`, for all accelerators or for one, as the section that it stands for."""
    section = document.data.get("parallelism")
    if section == "auto":
        return _with_section(document, "parallelism", _all_auto(document.origin(("parallelism",))))
    if not isinstance(section, Mapping):
        return document
    degrees = _section(document, "parallelism")
    for name in ACCELERATORS:
        if section.get(name) == "auto":
            degrees = _with_section(degrees, name, _all_auto(degrees.origin((name,))))
    return _with_section(document, "parallelism", degrees)


def _all_auto(origin: Origin) -> Document:
    """Every degree is the planner's, whatever was written below."""
    data = {"auto": True, **dict.fromkeys(PLANNED, 1)}
    return Document(data=data, origins={(): origin, **{(key,): origin for key in data}})


def _section(document: Document, key: str) -> Document:
    """The section `key` as a document of its own."""
    origins: dict[Path_, Origin] = {path[1:]: o for path, o in document.origins.items() if path[:1] == (key,)}
    return Document(data=dict(document.data[key]), origins=origins)


def _with_section(document: Document, key: str, section: Document) -> Document:
    """`document` with `section` in place of what it has at `key`."""
    kept = _without(document, {key})
    origins: dict[Path_, Origin] = {(key, *path): origin for path, origin in section.origins.items()}
    order = {name: section.data if name == key else value for name, value in document.data.items()}
    return replace(kept, data=order, origins=kept.origins | origins)


def _without(document: Document, keys: set[str]) -> Document:
    data: dict[str, Any] = {key: value for key, value in document.data.items() if key not in keys}
    origins = {path: origin for path, origin in document.origins.items() if not keys & set(path[:1])}
    return Document(data=data, origins=origins)


@cache
def _table() -> Document:
    return read(TABLE, RecipeError, name=TABLE.name)
