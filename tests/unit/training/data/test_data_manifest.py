"""What is not a manifest of ours is refused, and says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.data.manifest import read_manifest
from paceline.spec.errors import DataError


def rewrite(directory: Path, **changes: Any) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_no_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no manifest\.json"):
        read_manifest(DirectoryStore(tmp_path))


def test_a_torn_manifest_is_refused(dataset_directory: Path) -> None:
    path = dataset_directory / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a dataset manifest"):
        read_manifest(DirectoryStore(dataset_directory))


def test_a_later_format_is_refused(dataset_directory: Path) -> None:
    rewrite(dataset_directory, format_version=2)
    with pytest.raises(DataError, match="format version 2"):
        read_manifest(DirectoryStore(dataset_directory))


@pytest.mark.parametrize("name", ["../secrets", "/etc/passwd", "a/../../b", ""])
def test_a_file_name_cannot_lead_elsewhere(dataset_directory: Path, name: str) -> None:
    manifest = json.loads((dataset_directory / "manifest.json").read_text())
    rewrite(dataset_directory, tokenizer=manifest["tokenizer"] | {"name": name})
    with pytest.raises(DataError, match=r"tokenizer\.name"):
        read_manifest(DirectoryStore(dataset_directory))
