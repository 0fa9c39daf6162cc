"""The table that `make synth` ends with."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

MODULE = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "synth_table.py"))


def assembly(directory: Path, artifacts: dict[str, Any]) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))


def stack(directory: Path, name: str, resources: int) -> dict[str, Any]:
    """A stack of the team `a`, with its template in `directory`."""
    template = {"Resources": {f"R{index}": {} for index in range(resources)}}
    (directory / f"{name}.template.json").write_text(json.dumps(template))
    properties = {"templateFile": f"{name}.template.json"}
    return {"type": "aws:cloudformation:stack", "displayName": f"a/{name} (a-{name})", "properties": properties}


@pytest.mark.parametrize(("resources", "code", "said"), [(2, 0, ""), (501, 1, "more than 500 resources")])
def test_a_line_per_stack(
    tmp_path: Path, resources: int, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nested = tmp_path / "assembly-a"
    nested.mkdir()
    assembly(nested, {"one": stack(nested, "Foundation", 3), "two": stack(nested, "Storage", resources)})
    assembly(tmp_path, {"a": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-a"}}})
    (tmp_path / "assembly-stale").mkdir()  # of a team that is gone
    assert MODULE["main"](str(tmp_path)) == code
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["stack", "resources", "kB"]
    assert [line.split()[:2] for line in lines] == [["a/Foundation", "3"], ["a/Storage", str(resources)]]
    assert said in lines[1]


def test_without_a_synthesis_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert MODULE["main"](str(tmp_path)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {tmp_path}: no cloud assembly\n\nhint: make synth\n"
