"""The CloudFormation provider schemas of the types that the overlay adds, and what they say about a template.

Each file in `schemas/` is one AWS provider schema, cut down by `extract` to the parts used here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "schemas"

Properties = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """One resource type. Property paths are tuples: `("Orchestrator", "Eks")`."""

    type_name: str
    document: Mapping[str, Any]

    @property
    def primary_identifier(self) -> tuple[str, ...]:
        """The properties whose values make the physical id, which is what `Ref` gives."""
        return tuple(path[0] for path in self._paths("primaryIdentifier"))

    @property
    def read_only(self) -> frozenset[str]:
        return frozenset(path[0] for path in self._paths("readOnlyProperties") if len(path) == 1)

    @property
    def create_only(self) -> frozenset[tuple[str, ...]]:
        """A change of one of these makes a new resource."""
        return frozenset(self._paths("createOnlyProperties"))

    @property
    def tag_property(self) -> tuple[str, str] | None:
        """The property that takes the stack's tags and its shape, `list` or `map`; None if tags cannot be updated."""
        tagging = self.document.get("tagging") or {}
        name = str(tagging.get("tagProperty", "")).removeprefix("/properties/")
        if not tagging.get("tagUpdatable") or name not in self.document["properties"]:
            return None
        kind = self._resolve(self.document["properties"][name]).get("type")
        return name, "list" if kind == "array" else "map"

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether going from `old` to `new` needs a new resource."""
        return any(_at(old, path) != _at(new, path) for path in self.create_only)

    def problems(self, properties: Properties) -> list[str]:
        """Everything that CloudFormation would refuse about the keys and enumerated values, in its own words."""
        settable = {k: v for k, v in self.document["properties"].items() if k not in self.read_only}
        return list(self._problems({**self.document, "properties": settable}, properties, "#"))

    def _problems(self, schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
        schema = self._resolve(schema)
        if isinstance(value, Mapping):
            known = schema.get("properties", {})
            for name in schema.get("required", ()):
                if name not in value:
                    yield f"{path}: required key [{name}] not found"
            for name, item in value.items():
                if name in known:
                    yield from self._problems(known[name], item, f"{path}/{name}")
                elif schema.get("additionalProperties") is False and not _matches(schema, name):
                    yield f"{path}: extraneous key [{name}] is not permitted"
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._problems(schema.get("items", {}), item, f"{path}/{index}")
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{path}: {value} is not a valid enum value; one of {', '.join(map(str, schema['enum']))}"

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self.document["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def _paths(self, key: str) -> Iterator[tuple[str, ...]]:
        for pointer in self.document.get(key, ()):
            yield tuple(pointer.removeprefix("/properties/").split("/"))


@cache
def load() -> Mapping[str, Schema]:
    """Every shipped schema, by resource type."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DIRECTORY.glob("*.json"))]
    return {d["typeName"]: Schema(type_name=d["typeName"], document=d) for d in documents}


def _at(properties: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        properties = properties.get(name) if isinstance(properties, Mapping) else None
    return properties


def _matches(schema: Mapping[str, Any], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in schema.get("patternProperties", ()))
