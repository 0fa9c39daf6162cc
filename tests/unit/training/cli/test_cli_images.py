"""`paceline images` in a copy of the checkout, with a skopeo that writes down what it is asked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.clients import registry

ROOT = Path(__file__).parents[4]
DIGEST = f"sha256:{'ab' * 32}"
TO = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/paceline/vision"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of images/ and training/."""
    for folder in ("images", "training"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["images", *arguments])


def skopeo(folder: Path, monkeypatch: pytest.MonkeyPatch, *, code: int = 0) -> Path:
    """Put a stand-in of skopeo on the path; the returned file holds what it was asked."""
    said = folder / "said"
    (folder / "bin").mkdir()
    (folder / "bin" / "skopeo").write_text(f'#!/bin/sh\necho "$@" >>{said}\nexit {code}\n', encoding="utf-8")
    (folder / "bin" / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return said


def pin(monkeypatch: pytest.MonkeyPatch, *bases: str) -> Result:
    monkeypatch.setattr(registry, "digest", lambda name, tag: DIGEST)
    return images("pin", *bases)


def test_the_matrix_is_data_for_programs_and_unknown_is_null(checkout: Path) -> None:
    result = images("matrix", "-o", "json")

    matrix = json.loads(result.stdout)
    assert result.exit_code == 0
    assert matrix["images"]["gpu"]["contents"]["torch"]["version"] == "2.13.0"
    assert matrix["images"]["gpu"]["contents"]["aws-ofi-nccl"]["version"] is None
    assert {"when": "cuda==13.*", "needs": "nvidia-driver>=580", "sources": ["cuda_minor"]} in matrix["rules"]


def test_the_matrix_is_a_table_for_people_and_warns_of_ends(checkout: Path) -> None:
    result = images("matrix")

    assert "gpu              torch " in result.stdout
    assert "gpu              nvidia-driver of the host     >=580" in result.stdout
    assert "warning: public.ecr.aws/neuron/pytorch-training-neuronx" in result.stderr


def test_what_is_not_pinned_is_refused_until_it_is(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = images("matrix", "--pinned")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.count("run `paceline images pin`") == 3

    pinned = pin(monkeypatch)
    assert pinned.exit_code == 0
    assert pinned.stdout.count("changed") == 3
    assert images("matrix", "--pinned").exit_code == 0
    assert pin(monkeypatch).stdout.count("as before") == 3


def test_copies_are_made_of_what_is_pinned(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = skopeo(checkout, monkeypatch)
    assert images("mirror", "--to", TO, "neuron").exit_code == 1
    pin(monkeypatch, "neuron")

    planned = images("mirror", "--to", TO, "neuron", "--dry-run", "-o", "json")
    assert not said.exists()
    done = images("mirror", "--to", f"{TO}/", "neuron", "-o", "json")
    assert json.loads(done.stdout) == json.loads(planned.stdout)
    [copy] = json.loads(done.stdout)
    command = f"copy --all --preserve-digests docker://{copy['source']} docker://{copy['destination']}\n"
    assert said.read_text(encoding="utf-8") == command
    assert copy["base"] == f"{TO}/base-neuron:2.9.0-neuronx-py312-sdk2.30.0-ubuntu24.04@{DIGEST}"


def test_a_copy_that_is_refused_says_what_to_do(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skopeo(checkout, monkeypatch, code=1)
    pin(monkeypatch, "neuron")

    result = images("mirror", "--to", TO, "neuron")
    assert result.exit_code == 1
    assert "could not be copied to" in result.stderr
    assert "skopeo login --username AWS --password-stdin 111122223333.dkr.ecr.eu-west-1.amazonaws.com" in result.stderr


def test_without_skopeo_there_is_a_cure(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, "neuron")
    monkeypatch.setenv("PATH", str(checkout))

    assert "skopeo is not installed" in images("mirror", "--to", TO, "neuron").stderr


def test_every_image_has_a_tag(checkout: Path) -> None:
    tags = json.loads(images("tags", "-o", "json").stdout)

    assert tags["gpu"].startswith("0.1.0-gpu-torch2.13-cu133-")
    assert len(set(tags.values())) == len(tags) == 7


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    result = images("matrix")
    assert result.exit_code == 1
    assert "not inside a checkout" in result.stderr
