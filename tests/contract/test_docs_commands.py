"""What the documents say can be done can be done: commands, options, targets, tests, messages and paths exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException

from paceline.cli.main import app

ROOT = Path(__file__).parent.parent.parent
SKIPPED = {".venv", ".engine", ".slurm", "node_modules", "runs", "cdk.out"}
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not SKIPPED & set(p.relative_to(ROOT).parts))
BLOCK = re.compile(r"^```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EVERYWHERE = {".", "cd", "cp", "git", "kill", "pgrep"}
IN_CODE = re.compile(r"`([^`\n]*\w[^`\n]*)`")

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def blocks(document: Path, kind: str) -> Iterator[str]:
    for match in BLOCK.finditer(document.read_text(encoding="utf-8")):
        if match["kind"] == kind:
            yield match["body"]


def commands(body: str) -> Iterator[list[str]]:
    for line in body.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


COMMANDS = [
    pytest.param(words, id=f"{document.relative_to(ROOT)}: {shlex.join(words)}")
    for document in DOCUMENTS
    for body in blocks(document, "sh")
    for words in commands(body)
]


def parse(arguments: list[str]) -> None:
    """What the command line does before it runs a command; a usage error raises."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest).close()


@pytest.mark.parametrize("words", COMMANDS)
def test_a_documented_command_exists_with_its_options(words: list[str]) -> None:
    program, *arguments = words
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        assert set(targets) <= TARGETS
    elif program == "paceline":
        parse(arguments)
    else:
        assert program in EVERYWHERE


@pytest.mark.parametrize("line", ["run --data d", "report runs/demo --formt json", "recipe show", "recipe"])
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises(TyperException):
        parse(shlex.split(line))


def test_commands_in_the_text_exist() -> None:
    known = {"make": TARGETS, "paceline": set(typer.main.get_command(app).commands)}  # type: ignore[attr-defined]
    wrong = []
    for document in DOCUMENTS:
        for code in IN_CODE.findall(document.read_text(encoding="utf-8")):
            program, *arguments = code.split()
            if program in known and arguments and arguments[0] not in known[program]:
                wrong.append((document.name, code))
    assert wrong == []


def test_tests_that_prove_something_exist() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", document.read_text())}
    assert named
    assert named - defined == set()


@cache
def templates() -> frozenset[tuple[str, ...]]:
    """Every string of the sources as its literal parts: what stands between the values of an f-string."""
    found = set()
    for path in (ROOT / "training" / "paceline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add(literal_parts(node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add((node.value,))
    return frozenset(found)


def literal_parts(node: ast.JoinedStr) -> tuple[str, ...]:
    parts = [""]
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts[-1] += str(value.value)
        else:
            parts.append("")
    return tuple(parts)


def test_messages_in_runbooks_are_those_of_the_code() -> None:
    quoted = [
        line
        for document in (ROOT / "docs" / "runbooks").glob("*.md")
        for body in blocks(document, "message")
        for line in body.splitlines()
    ]
    assert quoted
    assert [line for line in quoted if tuple(re.split(r"<[^>]+>", line)) not in templates()] == []


def test_the_tree_in_the_readme_is_the_tree() -> None:
    [tree] = [body for body in blocks(ROOT / "README.md", "text") if body.startswith("app.py")]
    shown, folders = [], [ROOT]
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[: depth + 1]
        path = folders[-1] / line.split()[0]
        shown.append(path)
        folders.append(path)
    package = ROOT / "training" / "paceline"
    rooms = {path for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert [path for path in shown if not path.exists()] == []
    assert rooms == {path for path in shown if path.parent == package}
