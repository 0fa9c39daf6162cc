"""`paceline team`: finds the checkout, passes text and exit codes on, and asks before it deletes."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli import team, teardown
from paceline.cli.checkout import Checkout
from paceline.cli.main import app
from paceline.clients import aws, cloudformation
from paceline.spec.deployment import DeployedStack, Deployment

runner = CliRunner()

PLAN = {
    "team": "sandbox",
    "account": "123456789012",
    "region": "us-east-1",
    "steps": [
        {"title": "end the workloads", "why": "they would be killed", "by": "you", "command": "kubectl delete jobs"},
        {"title": "delete the stack sandbox-Storage", "why": "unused", "by": "paceline", "command": None},
    ],
    "stacks": ["sandbox-Storage"],
    "kept": [{"what": "AWS::S3::Bucket b-1", "costs": "per GiB-month", "command": "aws s3 rb --force s3://b-1"}],
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
        "if '--deployment' in sys.argv: sys.stderr.write(open(sys.argv[sys.argv.index('--deployment') + 1]).read())\n"
        "if sys.argv[1] == 'show' and '--json' in sys.argv:\n"
        "    plan = {'location': {'account': '123456789012', 'region': 'us-east-1'}}\n"
        "    sys.argv.append('teardown-plan')\n"
        "print(json.dumps(plan) if 'teardown-plan' in sys.argv else ' '.join(sys.argv[1:]))\n"
    )
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    return tmp_path


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> list[DeployedStack]:
    """What is deployed in the account, one stack; and the credentials are right."""
    storage = DeployedStack(
        name="sandbox-Storage",
        status="CREATE_COMPLETE",
        changed=datetime(2026, 11, 21, tzinfo=UTC),
        protected=False,
        template={},
        resources={},
    )
    stacks = [storage]

    def deployment(client: None, team: str, *, account: str, region: str, on_stack: Any) -> Deployment:
        return Deployment(team=team, account=account, region=region, stacks=tuple(stacks))

    monkeypatch.setattr(aws, "account", lambda: "123456789012")
    monkeypatch.setattr(aws, "client", lambda service, region: None)
    monkeypatch.setattr(cloudformation, "client", lambda region: None)
    monkeypatch.setattr(cloudformation, "deployment", deployment)
    return stacks


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch, account: list[DeployedStack]) -> list[str]:
    """The teams that were destroyed; their stacks are gone then."""
    calls: list[str] = []

    def destroy(checkout: Checkout, team: str) -> None:
        calls.append(team)
        account.clear()

    monkeypatch.setattr(teardown, "_destroy", destroy)
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


def test_what_is_deployed_is_handed_over(
    checkout: Path, account: list[DeployedStack], capfd: pytest.CaptureFixture[str]
) -> None:
    assert runner.invoke(app, ["team", "diff", "sandbox", "--against", "deployed"]).exit_code == 0
    said = capfd.readouterr()
    assert said.out.startswith("diff sandbox --deployment ")
    assert json.loads(said.err)["stacks"][0]["name"] == "sandbox-Storage"


def test_credentials_of_another_account(
    checkout: Path, account: list[DeployedStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "account", lambda: "210987654321")
    result = runner.invoke(app, ["team", "diff", "sandbox", "--against", "deployed"])
    assert result.exit_code == 3
    assert "the AWS credentials are for account 210987654321, and sandbox lives in 123456789012" in result.stderr


def test_a_dry_run_prints_the_plan_without_an_account(checkout: Path, destroyed: list[str]) -> None:
    result = runner.invoke(app, ["team", "teardown", "sandbox", "--dry-run"])
    assert result.exit_code == 0
    assert "end the workloads" in result.stdout
    assert "aws s3 rb --force s3://b-1" in result.stdout
    assert runner.invoke(app, ["team", "teardown", "sandbox", "--dry-run", "-o", "json"]).stdout.startswith("{")
    assert destroyed == []


def test_it_asks_before_it_deletes(checkout: Path, destroyed: list[str]) -> None:
    for answers in ("n\n", "y\nvision\n"):
        result = runner.invoke(app, ["team", "teardown", "sandbox"], input=answers)
        assert result.exit_code == 1
        assert destroyed == []
    assert "end the workloads (paceline cannot reach it):\n  kubectl delete jobs" in result.stderr
    result = runner.invoke(app, ["team", "teardown", "sandbox"], input="y\nsandbox\n")
    assert (result.exit_code, destroyed) == (0, ["sandbox"])
    assert "sandbox: every stack is deleted" in result.stderr


def test_yes_does_not_ask(checkout: Path, destroyed: list[str]) -> None:
    assert runner.invoke(app, ["team", "teardown", "sandbox", "--yes"]).exit_code == 0
    assert destroyed == ["sandbox"]


def test_nothing_to_take_down(checkout: Path, account: list[DeployedStack], destroyed: list[str]) -> None:
    account.clear()
    result = runner.invoke(app, ["team", "teardown", "sandbox"])
    assert (result.exit_code, result.stdout, destroyed) == (0, "", [])
    assert "nothing is deployed in account 123456789012" in result.stderr


def test_a_stack_that_is_left_is_named(
    checkout: Path, account: list[DeployedStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown, "_destroy", lambda checkout, team: None)
    result = runner.invoke(app, ["team", "teardown", "sandbox", "--yes"])
    assert result.exit_code == 3
    assert "still there: sandbox-Storage (CREATE_COMPLETE)" in result.stderr


def test_an_interrupted_teardown_says_how_it_goes_on(
    checkout: Path, account: list[DeployedStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(checkout: Checkout, team: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(teardown, "_destroy", interrupt)
    result = runner.invoke(app, ["team", "teardown", "sandbox", "--yes"])
    assert result.exit_code == 130
    assert "run the command again to go on with the others" in result.stderr
