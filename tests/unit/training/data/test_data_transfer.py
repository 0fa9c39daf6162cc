"""Upload and fetch: manifest last, nothing twice, nothing unverified."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.clients.object_store import Bytes, DirectoryStore
from paceline.data.manifest import read_manifest
from paceline.data.transfer import fetch, upload
from paceline.spec.errors import DataError


class RecordingStore(DirectoryStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []
        self.read: list[str] = []

    def put(self, key: str, content: Bytes) -> None:
        self.written.append(key)
        super().put(key, content)

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


@pytest.fixture
def bucket(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path / "bucket")


def test_there_and_back(dataset_directory: Path, bucket: RecordingStore, tmp_path: Path) -> None:
    manifest = upload(dataset_directory, bucket)
    assert bucket.written[-1] == "manifest.json"
    assert fetch(bucket, tmp_path / "cache") == manifest
    for path in dataset_directory.iterdir():
        assert (tmp_path / "cache" / path.name).read_bytes() == path.read_bytes()


def test_nothing_is_sent_twice(dataset_directory: Path, bucket: RecordingStore) -> None:
    manifest = upload(dataset_directory, bucket)
    lost = manifest.shards[1].name
    bucket.delete(lost)
    bucket.written.clear()
    upload(dataset_directory, bucket)
    assert bucket.written == [lost, "manifest.json"]


def test_an_altered_local_shard_is_not_sent(dataset_directory: Path, bucket: RecordingStore) -> None:
    shard = sorted(dataset_directory.glob("tokens-*"))[1]
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(DataError, match=f"{shard.name}: altered"):
        upload(dataset_directory, bucket)
    with pytest.raises(DataError, match="no dataset here"):
        read_manifest(bucket)


def test_a_verified_cache_is_reused_and_a_damaged_file_replaced(
    dataset_directory: Path, bucket: RecordingStore, tmp_path: Path
) -> None:
    manifest = upload(dataset_directory, bucket)
    fetch(bucket, tmp_path / "cache")
    damaged = tmp_path / "cache" / manifest.shards[0].name
    damaged.write_bytes(bytes(manifest.shards[0].bytes))
    bucket.read.clear()
    fetch(bucket, tmp_path / "cache")
    assert bucket.read == ["manifest.json", manifest.shards[0].name]
    assert damaged.read_bytes() == (dataset_directory / damaged.name).read_bytes()


@pytest.mark.parametrize("damage", ["altered", "bytes, its manifest says", "missing"])
def test_what_does_not_verify_is_refused_by_name(
    dataset_directory: Path, bucket: RecordingStore, tmp_path: Path, damage: str
) -> None:
    shard = upload(dataset_directory, bucket).shards[-1]
    match damage:
        case "altered":
            bucket.put(shard.name, bytes(shard.bytes))
        case "missing":
            bucket.delete(shard.name)
        case _:
            bucket.put(shard.name, bucket.get(shard.name)[:-2])
    with pytest.raises(DataError, match=f"{shard.name}: .*{damage}") as caught:
        fetch(bucket, tmp_path / "cache")
    assert "delete that file" in (caught.value.problems[0].hint or "")
    assert not (tmp_path / "cache" / shard.name).exists()
    assert not (tmp_path / "cache" / "manifest.json").exists()
    bucket.delete(shard.name)  # what the hint says
    upload(dataset_directory, bucket)
    fetch(bucket, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    dataset_directory: Path, bucket: RecordingStore, tmp_path: Path
) -> None:
    upload(dataset_directory, bucket)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="cannot be stored"):
        fetch(bucket, tmp_path / "cache")
