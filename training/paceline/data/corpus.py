"""Real text that is on every machine: the documentation that comes with the Python interpreter.

The language reference (`pydoc_data.topics`) and every docstring of the standard library, read from the sources.
Nothing is imported, so no module of the library runs.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from paceline.spec.errors import DataError

MINIMUM_CHARACTERS = 40
TOPICS = "pydoc_data/topics.py"

_SKIPPED_DIRECTORIES = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text of a corpus. `name` says where it comes from, `source` to which part of a mixture it belongs."""

    name: str
    text: str
    source: str = ""


def interpreter_documentation(root: Path | None = None) -> Iterator[Document]:
    """The documents of the standard library under `root` (default: this interpreter's own), in a fixed order.

    Texts below MINIMUM_CHARACTERS and exact repetitions are left out. DataError if there are no sources to read.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    if not (root / "os.py").is_file():
        raise DataError(
            f"{root}: no sources of the standard library: this interpreter ships without them, or in an archive",
            "run paceline with a Python that is installed with its library as files (python.org, a distribution, uv)",
        )
    seen: set[str] = set()
    for document in _documents(root):
        if len(document.text) >= MINIMUM_CHARACTERS and document.text not in seen:
            seen.add(document.text)
            yield document


def _documents(root: Path) -> Iterator[Document]:
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if _SKIPPED_DIRECTORIES.intersection(relative.parts):
            continue
        tree = _parse(path)
        if tree is None:
            continue
        if relative.as_posix() == TOPICS:
            yield from _topics(tree)
        else:
            module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
            yield from _docstrings(tree, module)


def _parse(path: Path) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's escape sequences
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates and samples for other versions of Python
            return None


def _topics(tree: ast.Module) -> Iterator[Document]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(statement.value)
            yield from (Document(name=f"topics.{name}", text=text.strip()) for name, text in sorted(topics.items()))


def _docstrings(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[Document]:
    if text := ast.get_docstring(node):
        yield Document(name=name, text=text.strip())
    for definition in _definitions(node.body):
        yield from _docstrings(definition, f"{name}.{definition.name}")


def _definitions(nodes: Iterable[ast.AST]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The definitions among statements, looking into `if`, `try`, `with`, ... but not into expressions."""
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            for block in _BLOCKS:
                yield from _definitions(getattr(node, block, ()))
