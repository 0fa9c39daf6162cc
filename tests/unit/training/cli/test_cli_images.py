"""`paceline images` in a copy of the checkout, with a skopeo that writes down what it is asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.clients import ec2, registry, ssm

ROOT = Path(__file__).parents[4]
DIGEST = f"sha256:{'ab' * 32}"
AMI = "ami-0123456789abcdef0"
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


def test_machine_images_are_pinned_region_by_region(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = checkout / "stacks" / "parameters" / "amis.lock"
    lock.parent.mkdir(parents=True)
    refused = images("amis")
    assert (refused.exit_code, "write the regions of your teams" in refused.stderr) == (1, True)

    def values(region: str, names: Sequence[str]) -> dict[str, str]:
        there = [name for name in names if "/1.35/" in name or "/pcs/" in name]
        release = f"1.35.6-{'20260728' if region == 'us-east-1' else '20260901'}"
        return {name: release if name.endswith("release_version") else AMI for name in there}

    said = {"ImageId": AMI, "Name": "an image", "CreationDate": "2026-07-28T00:00:00.000Z"}
    monkeypatch.setattr(ssm, "client", lambda region: region)
    monkeypatch.setattr(ec2, "client", lambda region: region)
    monkeypatch.setattr(ssm, "parameters", values)
    monkeypatch.setattr(ec2, "images", lambda region, ids: dict.fromkeys(ids, said))

    done = images("amis", "us-east-1", "us-west-2", "-o", "json")
    assert done.exit_code == 0, done.output
    assert "AWS publishes no eks 1.34 AL2023_x86_64_NVIDIA here" in done.stderr
    rows = {(row["region"], row["image"]): row for row in json.loads(done.stdout)}
    assert rows["us-east-1", "eks 1.35 AL2023_x86_64_NVIDIA"]["release"] == "1.35.6-20260728"
    assert rows["us-west-2", "eks 1.35 AL2023_x86_64_NVIDIA"]["release"] == "1.35.6-20260901"
    assert rows["us-east-1", "pcs nvidia"]["id"] == AMI

    again = images("amis")
    assert again.stdout.count("as before") == len(rows)
    assert lock.read_text(encoding="utf-8").count(AMI) == len(rows)
