"""Every relative link of a Markdown file exists, and every path in the tables of the maps at the root."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SKIPPED = {".venv", ".engine", ".slurm", "node_modules", "runs", "cdk.out"}
DOCUMENTS = [path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts)]

LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH_IN_CODE = re.compile(r"`([\w./-]+/[\w./<>*-]*|[\w-]+\.(?:py|toml|yaml|json|md|txt|in))`")
CODE = re.compile(r"`[^`\n]*`")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    targets = (target.split("#")[0] for target in LINK.findall(CODE.sub("", text)))
    return [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]


def paths_in_tables(text: str) -> list[str]:
    """What stands in code type in the rows of tables, up to the first placeholder such as `<team>`."""
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return [path for found in PATH_IN_CODE.findall(rows) if (path := re.split(r"[^/]*[<*]", found)[0])]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_points_to_exists(document: Path) -> None:
    text = CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))
    broken = [target for target in links(text) if not (document.parent / target).exists()]
    if document.parent == ROOT:
        broken += [path for path in paths_in_tables(text) if not (ROOT / path).exists()]

    assert broken == []


def test_the_search_finds_both_kinds() -> None:
    text = "see [a](docs/a.md#part), [b](https://x.y), `[c](d)`\n"
    text += "| `stacks/parameters/<team>.yaml` | `app.py` | `make x` |\n"

    assert links(text) == ["docs/a.md"]
    assert paths_in_tables(text) == ["stacks/parameters/", "app.py"]
