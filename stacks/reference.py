"""The reference of all parameters: `python -m stacks.reference` writes it, `--check` compares.

It is made of the JSON schema of the settings, so it says what the files are checked against. Every object has a table
of its own, under its path; `<name>` stands for a key of your choice, `[]` for an item of a list.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stacks.settings import Parameters

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "parameters.md"

# the stacks that read a section, by the ids that `cdk ls` prints after the team's name
STACKS: Mapping[str, tuple[str, ...]] = {
    "network": ("Foundation", "Slurm"),
    "storage": ("Storage", "Governance"),
    "registry": ("Registry", "Eks"),
    "capacity": ("Capacity-<name>", "Eks", "HyperPod"),
    "eks": ("Eks",),
    "slurm": ("Slurm",),
    "hyperpod": ("HyperPod",),
    "alerts": ("Foundation",),
    "access": ("Foundation",),
    "observability": ("Observability",),
    "governance": ("Governance",),
    "delivery": ("Delivery", "Observability"),
}
INTRODUCTION = """\
# Every parameter

<!-- made by `python -m stacks.reference`: change the descriptions in stacks/settings/ -->

What a file in [stacks/parameters/](../../stacks/parameters/) may say. `platform.yaml` holds what all teams share, a
team's file lies over it, and what is required may stand in either. Editors show the same text, from
[schema.json](../../stacks/parameters/schema.json). `paceline team validate` also checks what a table cannot say: how
parameters fit together, and what the catalog knows about instance types and file systems.

*Change* is what a change does to a deployed team, and `paceline team diff` says it for yours:

* **live**: applied while jobs run
* **drain**: nodes or clients must be idle
* **replace**: the resource is made anew, and what it holds is gone
* **never**: refused, as the team would lose its data, or stacks would be left behind elsewhere

`null` stands for "left out". In a path, `<name>` is a key of your choice and `[]` an item of a list.
"""
_SIMPLE = {"boolean": "`true` or `false`", "integer": "whole number", "number": "number", "string": "text"}
_FORMATS = {"date-time": "date and time with zone", "ipv4network": "address block"}
# what stacks/settings/update.py says beside the class
_LIMITS = {"grows": "grows only", "step": "a step at a time", "parts": "a part that leaves goes with what it holds"}

Node = Mapping[str, Any]


def render() -> str:
    """The reference as Markdown."""
    schema = Parameters.model_json_schema()
    definitions: Node = schema["$defs"]
    lines = [INTRODUCTION, *_table("", schema, definitions)]
    for section, node in schema["properties"].items():
        for number, (path, model) in enumerate(_objects(section, node, definitions)):
            first = number == 0
            lines += [
                "",
                f"{'##' if first else '###'} {_heading(path, model)}",
                "",
                _one_line(model["description"]),
                "",
            ]
            if first and section in STACKS:
                lines += [f"Stacks that read it: {', '.join(f'`{stack}`' for stack in STACKS[section])}.", ""]
            lines += _table(f"{path}.", model, definitions)
    return "\n".join(lines) + "\n"


def anchor(heading: str) -> str:
    """Where a link to a heading goes, as GitHub forms it."""
    return re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower()


def _objects(path: str, node: Node, definitions: Node) -> Iterator[tuple[str, Node]]:
    """Every object at and below `path`, with its own path."""
    for here, model in _targets(path, node, definitions):
        yield here, model
        for name, field in model["properties"].items():
            yield from _objects(f"{here}.{name}", field, definitions)


def _targets(path: str, node: Node, definitions: Node) -> Iterator[tuple[str, Node]]:
    """The objects that the value at `path` may be or hold."""
    if "$ref" in node:
        yield path, definitions[node["$ref"].rsplit("/", 1)[-1]]
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _targets(path, choice, definitions)
    for key in ("patternProperties", "additionalProperties", "items"):
        if key in node:
            yield from _targets(path + ("[]" if key == "items" else ".<name>"), _held(node, key), definitions)


def _held(node: Node, key: str) -> Node:
    """What stands in a list or a mapping. A mapping has one pattern for its keys at most."""
    held: Node = next(iter(node[key].values())) if key == "patternProperties" else node[key]
    return held


def _table(prefix: str, model: Node, definitions: Node) -> list[str]:
    lines = ["| Parameter | Value | Default | Change | Meaning |", "|---|---|---|---|---|"]
    for name, node in model["properties"].items():
        targets = list(_targets(prefix + name, node, definitions))
        links = [f"[`{_kind(target) or path}`](#{anchor(_heading(path, target))})" for path, target in targets]
        cells = (
            f"`{name}`",
            " or ".join(links) or _value(node),
            "required" if name in model.get("required", ()) else _default(node),
            _change(node),
            _one_line(node.get("description") or targets[0][1]["description"]),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _heading(path: str, model: Node) -> str:
    kind = _kind(model)
    return f"`{path}`" + (f", kind {kind}" if kind else "")


def _kind(model: Node) -> str | None:
    """What distinguishes one of several objects that may stand at a path."""
    kind: str | None = model["properties"].get("kind", {}).get("const")
    return kind


def _value(node: Node) -> str:
    """What may be written, in words."""
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return " or ".join(map(_value, choices))
    if "const" in node or "enum" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if "items" in node:
        return f"list{_bounds(node, 'minItems', 'maxItems')}: {_value(node['items'])}"
    if node["type"] == "object":
        key = "patternProperties" if "patternProperties" in node else "additionalProperties"
        return f"mapping{_bounds(node, 'minProperties', 'maxProperties')}: {_value(_held(node, key))}"
    text = _FORMATS.get(node.get("format", ""), _SIMPLE[node["type"]])
    return text + _bounds(node, "minimum", "maximum") + (f", `{node['pattern']}`" if "pattern" in node else "")


def _bounds(node: Node, low: str, high: str) -> str:
    if "exclusiveMinimum" in node:
        return f" above {node['exclusiveMinimum']}"
    if low in node and high in node:
        return f", {node[low]} to {node[high]}"
    return f", at least {node[low]}" if low in node else f", at most {node[high]}" if high in node else ""


def _default(node: Node) -> str:
    """A default that is an object is that of its fields, and stands with them."""
    value = node["default"]
    if isinstance(value, dict) and value:
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _change(node: Node) -> str:
    """The class of an update; a section that is required has none of its own."""
    update: str = node.get("update", "")
    return "; ".join([update, *(words for key, words in _LIMITS.items() if key in node)])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        fresh = REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == render()
        if not fresh:
            sys.stderr.write(f"error: {REFERENCE.name} is stale\n\nhint: run `python -m stacks.reference`\n")
        return 0 if fresh else 1
    REFERENCE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
