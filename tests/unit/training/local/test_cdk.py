"""The CDK CLI's output, recorded from aws-cdk 2.1148.1, and what is made of it. The CLI is a script that repeats it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from paceline.local import cdk
from paceline.local.cdk import Cdk, Progress
from paceline.spec.errors import DeployError

RECORDED = Path(__file__).parent / "cdk_output"
REPEAT = "import pathlib, sys; sys.stdout.write(pathlib.Path({file!r}).read_text(encoding='utf-8')); sys.exit({code})"
STACKS = ["sandbox-Foundation", "sandbox-Registry", "sandbox-Storage"]


class Double:
    """A repository whose CDK CLI is a Python script."""

    def __init__(self, directory: Path) -> None:
        self.repository = directory / "repository"
        self.run = directory / "run"
        self.script = self.repository / "node_modules" / "aws-cdk" / "bin" / "cdk"
        self.script.parent.mkdir(parents=True)
        self.progress: list[Progress] = []

    def says(self, name: str, code: int = 0) -> Cdk:
        file = str(RECORDED / f"{name}.txt")
        return self.does(REPEAT.format(file=file, code=code))

    def does(self, source: str) -> Cdk:
        self.script.write_text(source, encoding="utf-8")
        environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}
        log = self.run / "cdk.log"
        return Cdk(self.repository, environment=environment, log=log, on_progress=self.progress.append)


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Double:
    monkeypatch.setattr(cdk, "node_binary", lambda: Path(sys.executable))
    return Double(tmp_path)


def test_a_deployment(double: Double) -> None:
    results = double.says("deploy").deploy("sandbox/*", outputs=double.run / "outputs.json")
    assert sorted(result.stack for result in results) == STACKS
    assert {result.state for result in results} == {"deployed"}
    assert all(result.seconds >= 0 for result in results)
    storage = [progress for progress in double.progress if progress.stack == "sandbox-Storage"]
    assert [(p.state, p.done, p.total) for p in storage] == [
        ("deploying", 0, 0),
        ("deploying", 0, 8),
        ("deploying", 0, 8),
        ("deploying", 1, 8),
        ("deployed", 0, 0),
    ]


def test_a_deployment_without_changes(double: Double) -> None:
    results = double.says("unchanged").deploy("sandbox/*", outputs=double.run / "outputs.json")
    assert [(result.stack, result.state) for result in results] == [(stack, "unchanged") for stack in STACKS]


def test_a_destruction(double: Double) -> None:
    results = double.says("destroy").destroy("sandbox/*")
    assert sorted(result.stack for result in results) == STACKS
    assert {result.state for result in results} == {"destroyed"}


def test_a_refused_resource_is_explained(double: Double) -> None:
    with pytest.raises(DeployError) as failure:
        double.says("failed", code=1).deploy("sandbox/*", outputs=double.run / "outputs.json")
    assert "sandbox-Storage failed to deploy" in str(failure.value)
    assert "#/LustreConfiguration: extraneous key [Turbo] is not" in str(failure.value)
    assert "CREATE_IN_PROGRESS" not in str(failure.value)
    assert failure.value.problems[0].hint == f"the whole output is in {double.run / 'cdk.log'}"
    assert "UPDATE_FAILED" in (double.run / "cdk.log").read_text(encoding="utf-8")


def test_the_apps_own_error_comes_through(double: Double) -> None:
    with pytest.raises(DeployError, match=r"\(exit code 1\):\nstacks/parameters/sandbox.yaml:3: acount: unknown field"):
        double.says("refused", code=1).deploy("sandbox/*", outputs=double.run / "outputs.json")


def test_no_stack_matches(double: Double) -> None:
    with pytest.raises(DeployError, match=r"No stacks match the name\(s\) vision/\*"):
        double.says("no_match", code=1).deploy("vision/*", outputs=double.run / "outputs.json")


def test_what_the_cli_is_given(double: Double) -> None:
    tell = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))"
    double.does(tell).destroy("sandbox/*")
    command, answer = (double.run / "cdk.log").read_text(encoding="utf-8").splitlines()
    arguments, directory, environment = json.loads(answer)
    assert command == "$ cdk destroy sandbox/* --context teams=sandbox --force"
    assert arguments[-3:] == ["--output", str(double.run / "cdk.out"), "--no-notices"]
    assert Path(directory) == double.repository
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["JSII_NODE"] == sys.executable
    assert environment["CDK_HOME"] == str(double.run / "cdk.home")
    assert not Path(environment["TMPDIR"]).exists()


def test_bootstrap_runs_outside_the_repository(double: Double) -> None:
    double.does("import os; print(os.getcwd())").bootstrap(account="123456789012", region="us-east-1")
    assert (double.run / "cdk.log").read_text(encoding="utf-8").splitlines() == [
        "$ cdk bootstrap aws://123456789012/us-east-1",
        str(double.run),
    ]


def test_an_interruption_ends_the_cli_and_what_it_started(double: Double) -> None:
    # the CLI starts a child of its own, as the real one starts the app, says both ids and never ends
    source = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(f'p{os.getpid()}x{child.pid}: deploying... [1/1]', flush=True)\n"
        "time.sleep(600)\n"
    )
    interrupted: list[str] = []

    def interrupt(progress: Progress) -> None:
        interrupted.append(progress.stack)
        raise KeyboardInterrupt

    driver = double.does(source)
    driver._on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        driver.deploy("sandbox/*", outputs=double.run / "outputs.json")
    for process in interrupted[0].removeprefix("p").split("x"):
        assert _is_gone(int(process))


def test_without_the_cli_the_cure_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the CDK CLI is not installed") as failure:
        Cdk(tmp_path, environment={}, log=tmp_path / "cdk.log")
    assert failure.value.problems[0].hint == "run `make setup`"


def _is_gone(process: int) -> bool:
    """Ended; an orphan that nobody has waited for yet is gone as well."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_stacks_of_several_teams_need_the_templates_of_all(double: Double) -> None:
    double.says("destroy").destroy("**")
    assert "$ cdk destroy ** --force\n" in (double.run / "cdk.log").read_text(encoding="utf-8")
