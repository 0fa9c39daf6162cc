"""Every field of a recipe is read by each engine, or by somebody else whom readers.yaml names."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from paceline.engines.registry import ENGINES
from paceline.recipe.engines import engines
from paceline.recipe.schema import Recipe

ROOT = Path(__file__).parents[4] / "training"
OTHERS: Mapping[str, Mapping[str, str]] = yaml.safe_load(
    Path(__file__).with_name("readers.yaml").read_text(encoding="utf-8")
)
ELSEWHERE, PEOPLE, UNDER = OTHERS["elsewhere"], OTHERS["people"], OTHERS["under"]
CHECKS = ("paceline.recipe", "paceline.plan")
"""What engines import to refuse a recipe, or to plan for it: not to do what it says."""


def sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, str | None]]:
    """Every dotted path below `model`, with the name of its class where it is a section."""
    yield path, model.__name__
    for name, info in model.model_fields.items():
        below = f"{path}.{name}" if path else name
        options = get_args(info.annotation) or (info.annotation,)
        section = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if section is None:
            yield below, None
        else:
            yield from sections(section, below)


SECTIONS = {path: name for path, name in sections(Recipe, "") if name is not None}
FIELDS = [path for path, name in sections(Recipe, "") if name is None]


@dataclass
class Reads(ast.NodeVisitor):
    """The paths of a recipe that a module reads: by way of something that is named `recipe`, of a parameter that is
    annotated with a section, or of a name that one of these was given to."""

    found: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)

    def path(self, node: ast.expr) -> str | None:
        if ast.unparse(node) in self.names:
            return self.names[ast.unparse(node)]
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        base = self.path(node.value) if isinstance(node, ast.Attribute) else None
        if base is not None:
            return f"{base}.{name}" if base else name
        return "" if name.lstrip("_") == "recipe" else None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.path(node) or ""
        section, _, last = path.rpartition(".")
        self.found |= {field for field in FIELDS if field.startswith(f"{section}.")} if last == "model_dump" else {path}
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        classes = {name: path for path, name in SECTIONS.items()}
        for argument in (*node.args.args, *node.args.kwonlyargs):
            annotated = ast.unparse(argument.annotation).partition(" | ")[0] if argument.annotation else ""
            if annotated in classes:
                self.names[argument.arg] = classes[annotated]
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        [target, value] = [node.targets[0], node.value]
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = [*zip(target.elts, value.elts, strict=True)]
        for name, given in pairs:
            if (path := self.path(given)) in SECTIONS:
                self.names[ast.unparse(name)] = path
        self.generic_visit(node)


@cache
def reads(file: Path) -> frozenset[str]:
    reader = Reads()
    reader.visit(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(reader.found)


@cache
def imported(file: Path) -> frozenset[Path]:
    """The modules of paceline that `file` imports, but for those of CHECKS."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(CHECKS):
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                module = ROOT / f"{name.replace('.', '/')}.py"
                if name.startswith("paceline.") and module.is_file():
                    found.add(module)
    return frozenset(found)


def read_by(engine: str) -> set[str]:
    """What the modules read that the engine consists of."""
    first = ROOT / f"{ENGINES[engine].partition(':')[0].replace('.', '/')}.py"
    seen, ahead = {first}, [first]
    while ahead:
        fresh = imported(ahead.pop()) - seen
        seen |= fresh
        ahead += fresh
    return {path for file in seen for path in reads(file)}


def free(engine: str) -> Iterator[str]:
    """The fields of which the engine does more than one value."""
    pinned = tuple(f"{path}." for path, legal in engines()[engine].values.items() if len(legal) == 1)
    for path in FIELDS:
        if not f"{path}.".startswith(pinned) and not f"{UNDER.get(path)}.".startswith(pinned):
            yield path


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_reads_what_a_recipe_may_say(engine: str) -> None:
    known = read_by(engine) | ELSEWHERE.keys() | PEOPLE.keys()

    assert [path for path in free(engine) if path not in known] == []


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_engines_do_not_read_has_the_reader_that_is_named(path: str) -> None:
    tree = ast.parse((ROOT / "paceline" / ELSEWHERE[path]).read_text(encoding="utf-8"))
    said = {getattr(node, "attr", getattr(node, "value", None)) for node in ast.walk(tree)} - {None}

    assert path in FIELDS and path.rpartition(".")[2] in {word for word in said if isinstance(word, str)}


def test_nobody_is_named_for_what_every_engine_reads() -> None:
    by_all = set.intersection(*(read_by(engine) for engine in ENGINES))

    assert by_all & ELSEWHERE.keys() == set()
