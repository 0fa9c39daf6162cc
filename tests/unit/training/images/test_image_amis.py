"""Pinning machine images: what AWS publishes is asked once, written with its facts, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from paceline.images.amis import channels, find, read, resolve, write
from paceline.spec.amis import AmiLock
from paceline.spec.errors import ImageError

TODAY = date(2026, 11, 21)
WANTED = list(channels(TODAY))
GPU = next(c for c in WANTED if c.label == "eks 1.35 AL2023_x86_64_NVIDIA")


def published(names: Sequence[str]) -> dict[str, str]:
    """Every parameter there is, but those of Kubernetes 1.32: ids that tell channels apart, and releases."""
    values = {}
    for number, name in enumerate(names):
        version = name.split("/")[5]
        values[name] = f"{version}.6-20260728" if name.endswith("release_version") else f"ami-{number:017x}"
    return {name: value for name, value in values.items() if "/1.32/" not in name}


def described(ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    return {
        key: {"ImageId": key, "Name": f"image {key}", "Description": "said", "CreationDate": "2026-07-28T01:02:03.000Z"}
        for key in ids
    }


def test_the_parameters_are_those_that_aws_documents() -> None:
    tree = "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended"
    assert (GPU.image, GPU.release) == (f"{tree}/image_id", f"{tree}/release_version")
    kinds = {channel.kind: channel.image for channel in WANTED if channel.orchestrator == "pcs"}
    assert kinds["cpu"] == kinds["nvidia"] == "/aws/service/pcs/ami/dlami-base-ubuntu2404/x86_64/latest/ami-id"
    assert "neuron" not in kinds  # AWS keeps no image for it


def test_versions_that_nobody_supports_are_not_asked_for() -> None:
    assert "1.31" in {channel.version for channel in WANTED}
    assert "1.31" not in {channel.version for channel in channels(date(2026, 11, 27))}


def test_what_a_region_has_is_pinned_and_what_it_lacks_is_named() -> None:
    amis, missing = resolve(WANTED, published, described)
    assert {channel.version for channel in missing} == {"1.32"}
    found = find(amis, GPU)
    assert found is not None
    assert (found.release, found.created, found.description) == ("1.35.6-20260728", date(2026, 7, 28), "said")
    assert amis.pcs["cpu"] == amis.pcs["nvidia"] != amis.pcs["nvidia-arm64"]


def test_a_region_without_any_asks_ec2_nothing() -> None:
    def nobody(ids: Sequence[str]) -> dict[str, Any]:
        raise AssertionError(ids)

    amis, missing = resolve(WANTED, lambda names: {}, nobody)
    assert (amis.eks, amis.pcs, missing) == ({}, {}, WANTED)


def test_the_lock_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "amis.lock"
    assert read(path) == AmiLock()
    amis, _ = resolve(WANTED, published, described)
    write(path, AmiLock(regions={"us-east-1": amis}))
    assert read(path).regions["us-east-1"] == amis
    assert path.read_text(encoding="ascii").startswith("# The machine images of nodes")


def test_a_lock_that_somebody_changed_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "amis.lock"
    path.write_text("regions:\n  us-east-1:\n    pcs: {cpu: {id: ami-1}}\n", encoding="utf-8")
    with pytest.raises(ImageError, match=r"amis.lock:3: regions.us-east-1.pcs.cpu.id"):
        read(path)
