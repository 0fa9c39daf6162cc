"""`python -m stacks.commands`: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.commands import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the shipped files of one team, committed; the working directory."""
    directory = tmp_path / "stacks" / "parameters"
    directory.mkdir(parents=True)
    for name in ("platform", "sandbox"):
        shutil.copy(ROOT / "stacks" / "parameters" / f"{name}.yaml", directory)
    shutil.copy(ROOT / "cdk.json", tmp_path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return directory


def change(directory: Path, old: str, new: str) -> None:
    file = directory / "sandbox.yaml"
    file.write_text(file.read_text().replace(old, new))


def test_teams_are_listed_and_shown(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("sandbox  123456789012  us-east-1")
    assert main(["show", "sandbox", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["location"]["region"], shown["registry"]["keep_images"]) == ("us-east-1", 50)
    assert main(["show", "sandbox"]) == 0
    assert "keep_images: 50" in capsys.readouterr().out


def test_validate_says_what_is_right_and_what_is_not(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "sandbox: ok\n"
    change(checkout, "size_gib: 1200", "size_gib: 1300")
    assert main(["validate", "sandbox"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: stacks/parameters/sandbox.yaml:")
    assert "hint: the nearest legal sizes: 1200, 2400" in said.err


def test_capacity_that_is_over_is_refused_today_only(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "stacks" / "parameters" / "vision.yaml", checkout)
    assert main(["validate", "vision"]) == 0
    capsys.readouterr()
    file = checkout / "vision.yaml"
    file.write_text(file.read_text().replace("2030-", "2020-"))
    assert main(["validate", "sandbox"]) == 0
    assert main(["show", "vision"]) == 0
    capsys.readouterr()
    assert main(["validate"]) == 1
    said = capsys.readouterr().err
    assert "capacity.block.purchase.ends: ended at 2020-02-04 11:30 UTC" in said


def test_an_unknown_team(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "sandbocks"]) == 1
    assert "hint: did you mean `sandbox`?" in capsys.readouterr().err


def test_the_diff_is_against_the_last_commit(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "sandbox"]) == 0
    assert capsys.readouterr().out.endswith("):\nNothing changes.\n")
    change(checkout, "access_log_days: 30", "access_log_days: 60")
    assert main(["diff", "sandbox", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(item["path"], item["update"]) for item in found["changes"]] == [("storage.access_log_days", "live")]
    assert [stack["stack"] for stack in found["stacks"]] == ["Storage"]


def test_the_diff_is_against_a_file(checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "before.yaml"
    other.write_text((checkout / "sandbox.yaml").read_text().replace("size_gib: 1200", "size_gib: 2400"))
    assert main(["diff", "sandbox", "--against", str(other)]) == 1
    assert "Refused" in capsys.readouterr().out


def test_what_it_cannot_be_compared_with(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "sandbox", "--against", "v99"]) == 1
    assert capsys.readouterr().err.startswith("error: v99: neither a file nor a revision")


def test_a_team_that_was_not_there(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "sandbox.yaml").rename(checkout / "vision.yaml")
    assert main(["diff", "vision"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("vision, compared with HEAD (commit ")
    assert "There is no such team there: everything is created." in said


def test_a_file_that_was_deleted_takes_no_stack_with_it(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "sandbox.yaml").rename(checkout / "vision.yaml")
    assert main(["diff", "sandbox"]) == 1
    said = capsys.readouterr().err
    assert "hint: its stacks are where they were: `git checkout HEAD -- stacks/parameters/sandbox.yaml`" in said


def test_the_plan_of_a_teardown(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teardown-plan", "sandbox"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["account"], found["stacks"][-1]) == ("123456789012", "sandbox-Foundation")


def test_diff_and_teardown_of_what_is_deployed(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"team": "sandbox", "account": "123456789012", "region": "us-east-1", "stacks": []}
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(nothing))
    assert main(["diff", "sandbox", "--deployment", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("sandbox, compared with what is deployed in account 123456789012, us-east-1:\n")
    assert main(["teardown-plan", "sandbox", "--deployment", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["stacks"] == []


def test_a_reader_that_leaves_gets_no_traceback(checkout: Path) -> None:
    command = f"{sys.executable} -m stacks.commands show sandbox | true"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_accounts_are_the_commands_of_the_file(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "stacks" / "parameters" / "speech.yaml", checkout)
    assert main(["accounts", "speech"]) == 1
    assert "hint: describe them in `slurm.accounts`" in capsys.readouterr().err
    file = checkout / "speech.yaml"
    accounts = "accounts: {research: {people: [anna], nodes: 4}}"
    file.write_text(file.read_text().replace("  version:", f"  {accounts}\n  version:"))
    assert main(["accounts", "speech"]) == 0
    assert "change add user" in capsys.readouterr().out
    assert main(["accounts", "speech", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"research": {"people": ["anna"], "nodes": 4, "weight": 1}}
