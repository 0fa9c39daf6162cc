"""The guides are executed: every block marked `sh run`, in order, in one empty directory, as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import paceline

pytestmark = pytest.mark.integration

GUIDES = Path(__file__).parent.parent.parent / "docs" / "guides"
BLOCK = re.compile(r"^```(?P<kind>sh run|yaml (?P<file>[\w.-]+))\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = sorted(path.name for path in GUIDES.glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8")))


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment with `paceline` on the path: that of this interpreter."""
    program = tmp_path / "bin" / "paceline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from paceline.cli.main import main; main()" "$@"\n')
    program.chmod(0o755)
    sources = str(Path(paceline.__file__).parent.parent)  # this one, wherever the commands run
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": sources, "NO_COLOR": "1"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("guide", RUNNABLE)
def test_a_guide_does_what_it_says(guide: str, shell: dict[str, str], tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for block in BLOCK.finditer((GUIDES / guide).read_text(encoding="utf-8")):
        if block["file"]:
            (here / block["file"]).write_text(block["body"], encoding="utf-8")
            continue
        done = subprocess.run(["sh", "-eu", "-c", block["body"]], cwd=here, env=shell, capture_output=True, text=True)
        assert done.returncode == 0, f"{block['body']}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    if guide == "train-your-own.md":
        assert_trained_and_resumed(here / "runs" / "my-llama")


def assert_trained_and_resumed(run: Path) -> None:
    assert (run / "report.html").is_file()
    finished = [json.loads(line) for line in (run / "journal" / "coordinator.jsonl").open()]
    assert [(e["outcome"], e["step"]) for e in finished if e["kind"] == "run.finished"] == [
        ("completed", 6),
        ("completed", 8),
    ]
