"""`python app.py` as a user meets it: it synthesizes without an account, and mistakes end in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    return tmp_path


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
