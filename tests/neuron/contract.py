"""The recorded signatures of what engine nxd calls: read, looked up in a source tree, and written anew.

    python -m tests.neuron.contract NXD XLA

records them from the folders that hold the packages `neuronx_distributed` and `torch_xla`.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("contract.json")
Parameter = dict[str, Any]


@cache
def contract() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def entries() -> dict[str, Any]:
    found: dict[str, Any] = contract()["entries"]
    return found


def find(root: Path, name: str) -> tuple[str, list[Parameter]] | None:
    """Where below `root` the function or class of this dotted name stands, and its parameters; None if nowhere."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        path = root.joinpath(*parts[:end]).with_suffix(".py")
        if path.is_file():
            function = _function(ast.parse(path.read_text(encoding="utf-8")).body, parts[end:])
            if function is not None:
                return f"{path.relative_to(root)}:{function.lineno}", list(_parameters(function.args))
    return None


def _function(body: list[ast.stmt], names: list[str]) -> ast.FunctionDef | None:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == names[0]:
            return _function(node.body, names[1:] or ["__init__"])
        if isinstance(node, ast.FunctionDef) and names == [node.name]:
            return node
    return None


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    positional = [*args.posonlyargs, *args.args]
    without = len(positional) - len(args.defaults)
    for number, argument in enumerate(positional):
        if argument.arg != "self":
            default = {"default": ast.unparse(args.defaults[number - without])} if number >= without else {}
            yield {"name": argument.arg, **default}
    if args.vararg:
        yield {"name": f"*{args.vararg.arg}"}
    if args.kwarg:
        yield {"name": f"**{args.kwarg.arg}"}


def record(roots: dict[str, Path]) -> None:
    """Write the entries anew from `roots`, a folder for each source."""
    document = contract()
    for name, entry in document["entries"].items():
        source = entry["source"].partition(":")[0]
        found = find(roots[source], name)
        if found is None:
            sys.exit(f"{name}: not in {roots[source]}")
        entry["source"], entry["parameters"] = f"{source}:{found[0]}", found[1]
    FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(dict(zip(("nxd", "xla"), map(Path, sys.argv[1:]), strict=True)))
