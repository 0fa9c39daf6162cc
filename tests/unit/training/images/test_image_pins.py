"""Digests of bases, copies of them, and tags of what is built on them."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from paceline.images.lifetime import warnings
from paceline.images.matrix import Located, read
from paceline.images.mirror import plan
from paceline.images.pin import chosen, resolve, write
from paceline.images.tags import tag
from paceline.spec.errors import ImageError

ROOT = Path(__file__).parents[4]
DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def checkout(tmp_path: Path) -> Located:
    """A copy of what the images are built from."""
    for folder in ("images", "training"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return read(tmp_path / "images" / "versions.toml")


def test_a_pin_is_written_to_the_matrix_and_to_every_dockerfile_that_stands_on_it(checkout: Located) -> None:
    pins = resolve(chosen(checkout, ["python"]), lambda name, tag: DIGEST)
    write(checkout, pins)

    after = read(checkout.path)
    base = after.matrix.bases["python"]
    assert [pin.changed for pin in pins] == [True]
    assert base.reference == f"docker.io/library/python:3.11-slim-trixie@{DIGEST}"
    assert after.matrix.bases["cuda"].digest == ""
    assert f"ARG BASE={base.reference}\n" in (checkout.root / "images/cpu/Dockerfile").read_text(encoding="utf-8")
    assert DIGEST not in (checkout.root / "images/gpu/Dockerfile").read_text(encoding="utf-8")
    assert [pin.changed for pin in resolve(chosen(after, ["python"]), lambda name, tag: DIGEST)] == [False]


def test_everything_that_cannot_be_asked_is_told_and_nothing_is_written(checkout: Located) -> None:
    def refuse(name: str, tag: str) -> str:
        raise ImageError(f"{name}: cannot be reached")

    with pytest.raises(ImageError) as refusal:
        resolve(chosen(checkout, []), refuse)

    assert [problem.message.split(":")[0] for problem in refusal.value.problems] == [
        base.name for base in chosen(checkout, []).values()
    ]
    assert "localhost" not in refusal.value.render()


def test_a_digest_that_cannot_be_written_is_told_and_nothing_is_written(checkout: Located) -> None:
    text = checkout.path.read_text(encoding="utf-8")
    table = '[bases]\ncuda = { name = "x", tag = "y", digest = "", sources = ["dlc"] }\n\n[bases.python]'
    inline = text[: text.index("[bases.cuda]")] + text[text.index("# The last one") :]
    checkout.path.write_text(inline.replace("[bases.python]", table), encoding="utf-8")
    located = read(checkout.path)

    with pytest.raises(ImageError, match=r"bases.cuda.digest: not on a line of its own"):
        write(located, resolve(chosen(located, ["cuda"]), lambda name, tag: DIGEST))
    assert DIGEST not in checkout.path.read_text(encoding="utf-8")


def test_a_base_that_is_none_is_refused(checkout: Located) -> None:
    with pytest.raises(ImageError, match="no base `pyton`"):
        chosen(checkout, ["pyton"])


def test_a_copy_is_made_by_digest(checkout: Located) -> None:
    with pytest.raises(ImageError, match=r"bases.neuron: no digest"):
        plan(chosen(checkout, ["neuron"]), "registry/team")

    write(checkout, resolve(chosen(checkout, ["neuron"]), lambda name, tag: DIGEST))
    [copy] = plan(chosen(read(checkout.path), ["neuron"]), "registry/team")
    assert copy.source == f"public.ecr.aws/neuron/pytorch-training-neuronx@{DIGEST}"
    assert copy.destination == "registry/team/base-neuron:2.9.0-neuronx-py312-sdk2.30.0-ubuntu24.04"
    assert copy.base == f"{copy.destination}@{DIGEST}"


def test_a_tag_changes_with_what_the_image_is_built_from_and_with_nothing_else(checkout: Located) -> None:
    before = {name: tag(checkout, name) for name in ("cpu", "gpu", "cluster-tools")}
    assert before["gpu"].startswith("0.1.0-gpu-torch2.13-cu133-")
    assert {name: tag(checkout, name) for name in before} == before

    (checkout.root / "training" / "paceline" / "new.py").write_text("x = 1\n", encoding="utf-8")
    assert tag(checkout, "cpu") != before["cpu"]
    assert tag(checkout, "cluster-tools") == before["cluster-tools"]

    write(checkout, resolve(chosen(checkout, ["cuda"]), lambda name, tag: DIGEST))
    assert tag(read(checkout.path), "gpu") != before["gpu"]


def test_an_end_is_told_before_and_after_it(checkout: Located) -> None:
    before = warnings(checkout.matrix, date(2027, 5, 1))

    assert "public.ecr.aws/deep-learning-containers/pytorch:2.13-cu133-amzn2023: patched until 2027-07-20" in before
    assert before[0].endswith("ubuntu24.04: not patched since 2026-06-28")
    assert not any("2027-07-20" in line for line in warnings(checkout.matrix, date(2027, 4, 20)))
