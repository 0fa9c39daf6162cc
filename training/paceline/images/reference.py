"""Write the tables of docs/reference/images.md from the matrix and the environments: `make schemas`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from paceline.images.environment import read_environment
from paceline.images.matrix import MATRIX, Matrix, Part, find, read
from paceline.images.rules import check

# Relative to the root of the repository. What stands above the mark is written by hand.
DOCUMENT = Path("docs", "reference", "images.md")
MARK = "<!-- below: written by `make schemas` from images/versions.toml -->\n"

_UNKNOWN = "not known"


def render(root: Path) -> str:
    """The whole document: its own beginning, then the tables."""
    text = (root / DOCUMENT).read_text(encoding="utf-8")
    matrix = check(read(root / MATRIX))
    return text[: text.index(MARK) + len(MARK)] + "\n".join(_tables(matrix, root)) + "\n"


def _tables(matrix: Matrix, root: Path) -> Iterator[str]:
    for name, image in matrix.images.items():
        base = matrix.base_of(name)
        ends = f", patched until {base.ends}" if base.ends else ""
        yield f"\n## {name}\n\n{image.title}. Base: `{base.name}:{base.tag}`{ends}.\n"
        rows = [(key, _version(part), _from(part.sources)) for key, part in image.contents.items()]
        rows += [(f"{key} of the host", _version(part, ">= "), _from(part.sources)) for key, part in image.host.items()]
        yield _table(("Inside", "Version", "Source"), rows)
        if (file := root / "images" / name / "environment").exists():
            variables = [(f"`{v.name}={v.value}`", v.why) for v in read_environment(file)]
            yield "\n" + _table(("Variable", "Why"), variables)
    yield "\n## Rules\n\nWhere the left holds for an image, the right must hold for it or for its host.\n"
    yield _table(("When", "Needs", "Source"), [(f"`{r.when}`", f"`{r.needs}`", _from(r.sources)) for r in matrix.rules])
    yield "\n## Variables that no image sets\n"
    yield _table(
        ("Variable", "Why not", "Source"), [(f"`{n}`", o.why, _from(o.sources)) for n, o in matrix.obsolete.items()]
    )
    yield "\n## Sources\n"
    yield _table(("Name", "Where"), [(f"`{name}`", where) for name, where in matrix.sources.items()])


def _version(part: Part, prefix: str = "") -> str:
    return f"{prefix}{part.version}" if part.version else f"{_UNKNOWN}: {part.unknown}"


def _from(sources: Sequence[str]) -> str:
    return ", ".join(f"`{source}`" for source in sources)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    checkout = find(Path.cwd()).parent.parent
    (checkout / DOCUMENT).write_text(render(checkout), encoding="utf-8")
