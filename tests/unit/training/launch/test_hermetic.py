"""The hermetic manifest: what it records, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.launch.hermetic import read_parts, source_sha256, surroundings
from paceline.spec.errors import JournalError
from paceline.spec.hermetic import MANIFEST_DIRECTORY, manifest_name


def test_only_variables_that_change_numbers_are_recorded() -> None:
    environment = {"NCCL_ALGO": "Ring", "OMP_NUM_THREADS": "1", "PACELINE_RUN_TOKEN": "secret", "HOME": "/root"}
    assert surroundings(environment).environment == {"NCCL_ALGO": "Ring", "OMP_NUM_THREADS": "1"}


def test_what_changed_is_named() -> None:
    then = surroundings({})
    packages = {**then.software.packages, "torch": "1.0", "new": "2"}
    software = then.software.model_copy(update={"python": "2.7", "packages": packages})
    now = then.model_copy(update={"software": software})
    assert list(then.differences(then)) == []
    assert list(then.differences(now)) == [
        f"python: {then.software.python} -> 2.7",
        "new: none -> 2",
        f"torch: {then.software.packages['torch']} -> 1.0",
    ]


def test_the_source_has_another_hash_when_a_byte_or_a_name_changes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = source_sha256(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("generated")
    assert source_sha256(tmp_path) == before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    renamed = source_sha256(tmp_path)
    (tmp_path / "b.py").write_text("2")
    assert len({before, renamed, source_sha256(tmp_path)}) == 3


def test_a_directory_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no hermetic manifest"):
        read_parts(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_DIRECTORY).mkdir()
    (tmp_path / MANIFEST_DIRECTORY / manifest_name(3)).write_text('{"format_version": 1}')
    with pytest.raises(JournalError, match=r"generation-00000003.json: created: not a hermetic manifest"):
        read_parts(tmp_path)
