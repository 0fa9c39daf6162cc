"""`paceline team`: finds the checkout, passes text and exit codes on, and asks before it deletes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli import team
from paceline.cli.main import app

runner = CliRunner()

PLAN = {
    "team": "sandbox",
    "account": "123456789012",
    "region": "us-east-1",
    "steps": [
        {"title": "empty the buckets", "why": "full ones stay", "command": "aws s3 rm", "stack": None},
        {"title": "delete the stack sandbox-Storage", "why": "unused", "command": None, "stack": "Storage"},
    ],
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose infrastructure prints what it was asked, or fails with 3."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "__init__.py").touch()
    (tmp_path / "stacks" / "commands.py").write_text(
        "import json, sys\n"
        f"plan = json.loads('''{json.dumps(PLAN)}''')\n"
        "if 'fail' in sys.argv: sys.exit(3)\n"
        "print(json.dumps(plan) if 'teardown-plan' in sys.argv else ' '.join(sys.argv[1:]))\n"
    )
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    return tmp_path


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []
    monkeypatch.setattr(team, "_destroy", lambda *arguments: calls.append(arguments))
    return calls


def run(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    import sys

    program = "from paceline.cli.main import main; main()"
    command = [sys.executable, "-c", program, "team", *arguments]
    path = {"PYTHONPATH": str(Path(team.__file__).parents[2])}
    import os

    return subprocess.run(command, cwd=directory, env=os.environ | path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["ls"], "ls"),
        (["ls", "-o", "json"], "ls --json"),
        (["validate", "--all"], "validate"),
        (["validate", "vision"], "validate vision"),
        (["show", "vision"], "show vision"),
        (["diff", "vision", "--against", "main"], "diff vision --against main"),
    ],
)
def test_what_the_infrastructure_is_asked(checkout: Path, arguments: list[str], asked: str) -> None:
    done = run(*arguments, directory=checkout / "deep")
    assert (done.returncode, done.stdout) == (0, f"{asked}\n")


def test_its_exit_code_is_passed_on(checkout: Path) -> None:
    assert run("show", "fail", directory=checkout).returncode == 3


def test_outside_of_a_checkout(tmp_path: Path) -> None:
    done = run("ls", directory=tmp_path)
    assert done.returncode == 3
    assert "not inside a checkout" in done.stderr


def test_a_team_and_all_contradict(checkout: Path) -> None:
    result = runner.invoke(app, ["team", "validate", "vision", "--all"])
    assert result.exit_code == 1
    assert "give one of the two" in result.stderr


def test_a_dry_run_prints_the_plan_and_deletes_nothing(checkout: Path, destroyed: list[Any]) -> None:
    result = runner.invoke(app, ["team", "teardown", "sandbox", "--dry-run"])
    assert result.exit_code == 0
    assert "empty the buckets" in result.stdout
    assert runner.invoke(app, ["team", "teardown", "sandbox", "--dry-run", "-o", "json"]).stdout.startswith("{")
    assert destroyed == []


def test_it_asks_before_it_deletes(checkout: Path, destroyed: list[Any]) -> None:
    for answers in ("n\n", "y\nvision\n"):
        result = runner.invoke(app, ["team", "teardown", "sandbox"], input=answers)
        assert result.exit_code == 1
        assert destroyed == []
    assert "aws s3 rm" in result.stderr
    assert runner.invoke(app, ["team", "teardown", "sandbox"], input="y\nsandbox\n").exit_code == 0
    assert destroyed == [(checkout, "sandbox")]


def test_yes_does_not_ask(checkout: Path, destroyed: list[Any]) -> None:
    assert runner.invoke(app, ["team", "teardown", "sandbox", "--yes"]).exit_code == 0
    assert destroyed == [(checkout, "sandbox")]
