"""`paceline team permissions` writes a file per policy and says what to do with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.cli.main import app

PLAN = {
    "team": "vision",
    "policies": {"paceline-vision-1": {"Version": "2012-10-17", "Statement": []}},
    "commands": ["aws iam create-policy", "cdk bootstrap aws://1/r"],
    "shared_with": ["speech"],
}
runner = CliRunner()


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose infrastructure prints PLAN."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "__init__.py").touch()
    (tmp_path / "stacks" / "commands.py").write_text(f"print('''{json.dumps(PLAN)}''')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_data_and_commands_are_talk(checkout: Path) -> None:
    done = runner.invoke(app, ["team", "permissions", "vision"])
    written = checkout / "runs" / "permissions" / "vision" / "paceline-vision-1.json"

    assert done.exit_code == 0
    assert done.stdout == f"{written}\n"
    assert json.loads(written.read_text()) == {"Version": "2012-10-17", "Statement": []}
    assert "  aws iam create-policy\n  cdk bootstrap aws://1/r\n" in done.stderr
    assert "The same role deploys speech" in done.stderr


def test_the_folder_is_chosen_and_json_writes_nothing(checkout: Path) -> None:
    assert runner.invoke(app, ["team", "permissions", "vision", "--to", "iam"]).exit_code == 0
    assert [path.name for path in (checkout / "iam").iterdir()] == ["paceline-vision-1.json"]
    done = runner.invoke(app, ["team", "permissions", "vision", "-o", "json", "--to", "other"])
    assert json.loads(done.stdout) == PLAN
    assert not (checkout / "other").exists()
