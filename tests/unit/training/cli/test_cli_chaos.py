from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.chaos.registry import fault_classes
from paceline.chaos.schedule import Plan
from paceline.cli import chaos
from paceline.cli.main import app

RUNNER = CliRunner()


def test_ls_shows_every_class() -> None:
    shown = json.loads(RUNNER.invoke(app, ["chaos", "ls", "-o", "json"]).stdout)
    assert [row["name"] for row in shown] == list(fault_classes())
    table = RUNNER.invoke(app, ["chaos", "ls"]).stdout
    assert all(name in table for name in fault_classes())


def test_a_class_that_is_none_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    outcome = RUNNER.invoke(app, ["chaos", "run", "--class", "earthquake", "--directory", str(tmp_path / "new")])
    assert outcome.exit_code == 1
    assert "earthquake: not a class of faults" in outcome.stderr
    assert not (tmp_path / "new").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    outcome = RUNNER.invoke(app, ["chaos", "run", "--directory", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "holds something else" in outcome.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_there_is_nothing_to_resume_where_nothing_was_begun(tmp_path: Path) -> None:
    outcome = RUNNER.invoke(app, ["chaos", "run", "--resume", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "no chaos run was begun there" in outcome.stderr


@pytest.mark.parametrize("suite", chaos.Suite)
def test_a_suite_strikes_every_class(suite: chaos.Suite) -> None:
    assert chaos.FAULTS[suite] >= len(fault_classes())
    assert Plan(seed=0, faults=chaos.FAULTS[suite], classes=tuple(fault_classes()))
