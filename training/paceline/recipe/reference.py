"""Write the tables of docs/reference/recipes.md from the shipped recipes: `make schemas`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from paceline.recipe.fields import explain
from paceline.recipe.load import load, names
from paceline.recipe.schema import Recipe

# Relative to the root of the repository. What stands above the mark is written by hand.
DOCUMENT = Path("docs", "reference", "recipes.md")
MARK = "<!-- below: written by `make schemas` from training/recipes and paceline/recipe/schema.py -->\n"


def render(root: Path) -> str:
    """The whole document: its own beginning, then the tables."""
    text = (root / DOCUMENT).read_text(encoding="utf-8")
    return text[: text.index(MARK) + len(MARK)] + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    yield "\n## What ships\n"
    columns = ("Recipe", "What", "Method", "Length", "Tokens per step")
    yield _table(columns, [_row(load(name).recipe) for name in names()])
    yield "\n## Every field\n"
    for section in Recipe.model_fields:
        rows = [
            (f"`{f.path}`", f"`{f.kind}`", f"`{f.default or 'required'}`", f.meaning or "") for f in explain(section)
        ]
        yield f"\n### {section}\n"
        yield _table(("Field", "Type", "Default", "Meaning"), rows)


def _row(recipe: Recipe) -> tuple[str, ...]:
    adapter = recipe.adapter
    method = recipe.method if adapter is None else f"{recipe.method}, {'qlora' if adapter.quantize else adapter.kind}"
    length, tokens = recipe.data.sequence_length, recipe.batch.tokens
    file = f"[{recipe.name}](../../training/recipes/{recipe.name}.yaml)"
    return file, recipe.description, method, str(length), str(tokens)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    checkout = Path.cwd()
    (checkout / DOCUMENT).write_text(render(checkout), encoding="utf-8")
