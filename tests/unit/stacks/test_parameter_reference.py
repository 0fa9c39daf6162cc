"""The reference of parameters is that of the settings, its links lead somewhere, and its lists of stacks are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacks import reference
from stacks.settings import Parameters

STACKS = Path(reference.__file__).parent
TEXT = reference.render()
# what reads all parameters rather than one stack's
WHOLE = {"amis.py", "commands.py", "reference.py", "schema.py", "team_stack.py", "team_stage.py", "teams.py"}


def test_the_committed_reference_is_fresh() -> None:
    assert reference.REFERENCE.read_text(encoding="utf-8") == TEXT, "run `python -m stacks.reference`"


def test_a_stale_reference_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "REFERENCE", tmp_path / "parameters.md")
    assert reference.main(["--check"]) == 1
    assert "hint: run `python -m stacks.reference`" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def test_every_link_leads_to_one_heading() -> None:
    headings = [reference.anchor(line.lstrip("# ")) for line in TEXT.splitlines() if line.startswith("##")]
    links = set(re.findall(r"\(#([^)]*)\)", TEXT))

    assert len(headings) == len(set(headings))
    assert links == set(headings)


def test_no_text_is_taken_for_a_tag_or_another_cell() -> None:
    rows = [re.sub(r"`[^`]*`", "", line.replace(r"\|", "")) for line in TEXT.splitlines() if line.startswith("| ")]

    assert [row for row in rows if "<" in row] == []
    assert {row.count("|") for row in rows} == {6}


def test_the_stacks_of_a_section_are_those_whose_code_reads_it() -> None:
    read: dict[str, set[str]] = {}
    for path in STACKS.glob("*.py"):
        if path.name not in WHOLE:
            for section in re.findall(r"\bparameters\.(\w+)", path.read_text(encoding="utf-8")):
                read.setdefault(section, set()).add(path.stem)
    listed = {
        section: {stack.split("-")[0].lower() for stack in stacks} for section, stacks in reference.STACKS.items()
    }

    assert listed == {section: stacks for section, stacks in read.items() if section in Parameters.model_fields}
