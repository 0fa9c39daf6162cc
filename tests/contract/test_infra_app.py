"""`python app.py` as a user meets it: it synthesizes without an account, and mistakes end in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shipped_teams import copy_app

ROOT = Path(__file__).parents[2]


def run_app(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run app.py of `root` with the real rooms on the path, without credentials or a region."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_"))}
    paths = os.pathsep.join(str(ROOT / room) for room in ("training", "constructs"))
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=root,
        env=inherited | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that app.py reads."""
    copy_app(tmp_path)
    return tmp_path


@pytest.fixture
def sandbox_only(copy: Path) -> Path:
    """The same with one team, where the others would only take time."""
    for file in (copy / "stacks" / "parameters").glob("*.yaml"):
        if file.stem not in ("platform", "sandbox"):
            file.unlink()
    return copy


def plant(copy: Path, *lines: str) -> None:
    """More statements at the end of the registry stack."""
    stack = copy / "stacks" / "registry.py"
    assert stack.read_text().endswith('        self.publish(PARAMETER_REPOSITORY_PREFIX, f"{registry}/{prefix}")\n')
    stack.write_text(stack.read_text() + "".join(f"        {line}\n" for line in lines))


def test_a_package_in_constructs_is_named_before_it_breaks_the_import(copy: Path) -> None:
    (copy / "constructs").mkdir()
    (copy / "constructs" / "__init__.py").touch()
    done = run_app(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("error: constructs/__init__.py exists")
    assert "Traceback" not in done.stderr


def test_a_mistake_in_a_team_file_ends_in_a_sentence(copy: Path) -> None:
    team = copy / "stacks" / "parameters" / "sandbox.yaml"
    team.write_text(team.read_text().replace("size_gib", "size_gb"))
    done = run_app(copy)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: stacks/parameters/sandbox.yaml:19: storage.file_system.size_gb: unknown field\n\n"
        "hint: did you mean `size_gib`?\n"
    )


def test_synthesizes_offline_and_passes_every_check(copy: Path, tmp_path: Path) -> None:
    """With CDK's built-in validation and cdk-nag on; both make the exit code non-zero on an error."""
    out = tmp_path / "cdk.out"
    done = run_app(copy, CDK_OUTDIR=str(out))
    assert done.returncode == 0, done.stderr
    reports = json.loads((out / "validation-report.json").read_text())["pluginReports"]
    assert [violation for report in reports for violation in report["violations"]] == []
    manifest = json.loads((out / "assembly-sandbox" / "manifest.json").read_text())
    names = {artifact.get("displayName") for artifact in manifest["artifacts"].values()}
    assert {"sandbox/Foundation", "sandbox/Storage", "sandbox/Registry"} <= names
    assert "missing" not in manifest


@pytest.mark.parametrize("mode", ["", "process"], ids=["alone", "under the CLI"])
def test_a_finding_is_refused_in_a_sentence(sandbox_only: Path, mode: str) -> None:
    """Where CDK raises, and where it only sets the exit code of its Node process, as the CLI asks it to."""
    plant(sandbox_only, "from aws_cdk import aws_s3", 'aws_s3.Bucket(self, "Naked")')
    done = run_app(sandbox_only, CDK_VALIDATION="false", CDK_OUTDIR=str(sandbox_only / "out"), CDK_APP_MODE=mode)
    assert done.returncode == 1
    first, second = done.stderr.split("\n\nerror: ")
    assert first == (
        "error: sandbox/Registry/Naked/Resource: AwsSolutions-S1: The S3 Bucket has server access logs disabled\n\n"
        'hint: change the construct, or accept the finding: acknowledge(construct, "S1", reason) of '
        "paceline_constructs.guardrails.compliance"
    )
    assert second.startswith("sandbox/Registry/Naked/Resource: AwsSolutions-S10: ")


def test_what_cdk_refuses_is_told_with_its_line(sandbox_only: Path) -> None:
    plant(sandbox_only, "from aws_cdk import CfnResource", 'CfnResource(self, "Repository-cpu", type="A::B::C")')
    line = len((sandbox_only / "stacks" / "registry.py").read_text().splitlines())
    done = run_app(sandbox_only, CDK_OUTDIR=str(sandbox_only / "out"))
    assert done.returncode == 1
    said, hint = done.stderr.split("\n\n")
    assert said.startswith(f"error: stacks/registry.py:{line}: team sandbox: There is already a Construct with name")
    assert hint == "hint: CDK said so of that line; correct it, or the parameter that it passes on\n"


def test_only_the_chosen_teams_are_synthesized(copy: Path) -> None:
    out = copy / "out"
    done = run_app(copy, CDK_VALIDATION="false", CDK_OUTDIR=str(out), CDK_CONTEXT_JSON='{"teams": "sandbox"}')
    assert done.returncode == 0, done.stderr
    assert [path.name for path in out.glob("assembly-*")] == ["assembly-sandbox"]
