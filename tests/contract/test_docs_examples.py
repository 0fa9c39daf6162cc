"""What the guides show can be written: their recipes are recipes, their lines are samples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paceline.data.conversations import read_samples
from paceline.recipe.load import load

GUIDES = Path(__file__).parent.parent.parent / "docs" / "guides"
FILE = re.compile(r"Write `(?P<name>[\w-]+\.yaml)`:\n\n```yaml\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r'^\{"(?P<first>messages|prompt)".*\}$', re.MULTILINE)


def cases(pattern: re.Pattern[str], group: str) -> list[tuple[str, str, str]]:
    found = [(g, match) for g in sorted(GUIDES.glob("*.md")) for match in pattern.finditer(g.read_text("utf-8"))]
    return [(guide.name, match[group], match.groupdict().get("body", match[0])) for guide, match in found]


@pytest.mark.parametrize(("guide", "name", "body"), cases(FILE, "name"))
def test_a_recipe_of_a_guide_resolves(guide: str, name: str, body: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(body, encoding="utf-8")
    assert load(str(tmp_path / name)).recipe.name == Path(name).stem


@pytest.mark.parametrize(("guide", "first", "line"), cases(LINE, "first"))
def test_a_line_of_a_guide_is_a_sample(guide: str, first: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text(line, encoding="utf-8")
    [(_, together)] = read_samples(str(tmp_path), "dpo" if first == "prompt" else "sft")
    assert len(together) == (2 if first == "prompt" else 1)
