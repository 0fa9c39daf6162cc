from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber

from paceline.clients.object_store import BucketStore, DirectoryStore, open_store
from paceline.spec.errors import CheckpointError, StorageError

KEY = "step-00000020/manifest.json"


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> BucketStore:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return BucketStore("saved", "team/run")


def test_a_disk_that_fills_up_while_writing_leaves_the_old_content_alone(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory.put(KEY, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        directory.put(KEY, b"new and longer")
    assert directory.get(KEY) == b"old"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["manifest.json"]


def test_files_are_for_whom_the_umask_says(directory: DirectoryStore, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        directory.put(KEY, b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o640


def test_a_directory_lists_whole_keys_only(directory: DirectoryStore, tmp_path: Path) -> None:
    directory.put("b/two", b"2")
    directory.put("a/one", b"1")
    (tmp_path / "a" / ".one.half-written").write_text("")
    assert list(directory.list()) == ["a/one", "b/two"]
    assert list(directory.list("b/")) == ["b/two"]
    assert directory.size("a/one") == 1
    directory.delete("a/one")
    directory.delete("a/one")
    with pytest.raises(FileNotFoundError):
        directory.get("a/one")


def test_a_bucket_reads_under_its_prefix(bucket: BucketStore) -> None:
    key = {"Bucket": "saved", "Key": f"team/run/{KEY}"}
    with Stubber(bucket._client) as stub:
        stub.add_response("get_object", {"Body": io.BytesIO(b"content")}, key)
        stub.add_response("head_object", {"ContentLength": 7}, key)
        stub.add_response(
            "list_objects_v2",
            {"Contents": [{"Key": "team/run/a"}, {"Key": "team/run/b"}]},
            {"Bucket": "saved", "Prefix": "team/run/"},
        )
        stub.add_response("delete_object", {}, key)
        assert bucket.get(KEY) == b"content"
        assert bucket.size(KEY) == 7
        assert list(bucket.list()) == ["a", "b"]
        bucket.delete(KEY)


@pytest.mark.parametrize(("operation", "code"), [("get_object", "NoSuchKey"), ("head_object", "404")])
def test_a_missing_key_is_a_missing_file(bucket: BucketStore, operation: str, code: str) -> None:
    with Stubber(bucket._client) as stub:
        stub.add_client_error(operation, code)
        with pytest.raises(FileNotFoundError, match=f"s3://saved/team/run/{KEY}"):
            (bucket.get if operation == "get_object" else bucket.size)(KEY)


@pytest.mark.parametrize("operation", ["get_object", "list_objects_v2", "delete_object", "put_object"])
def test_a_bucket_that_refuses_says_where_and_what_to_check(bucket: BucketStore, operation: str) -> None:
    calls: dict[str, Any] = {
        "get_object": lambda: bucket.get(KEY),
        "list_objects_v2": lambda: list(bucket.list()),
        "delete_object": lambda: bucket.delete(KEY),
        "put_object": lambda: bucket.put(KEY, b"x"),
    }
    with Stubber(bucket._client) as stub:
        stub.add_client_error(operation, "AccessDenied", "not yours")
        with pytest.raises(StorageError, match="s3://saved/team/run.*AccessDenied") as caught:
            calls[operation]()
    assert caught.value.problems[0].hint


@pytest.mark.parametrize("error", [EndpointConnectionError(endpoint_url="http://nowhere"), NoCredentialsError()])
def test_a_bucket_that_cannot_be_reached_is_no_traceback(
    bucket: BucketStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(bucket._client, "get_object", unreachable)
    with pytest.raises(StorageError, match=f"s3://saved/team/run/{KEY}: .+") as caught:
        bucket.get(KEY)
    assert "credentials" in (caught.value.problems[0].hint or "")


def test_a_profile_that_does_not_exist_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match="s3://saved: .*nobody"):
        open_store("s3://saved", CheckpointError)


def test_the_uri_decides_the_store(bucket: BucketStore, tmp_path: Path) -> None:
    assert open_store("s3://saved/team/run/", CheckpointError).uri == bucket.uri
    assert open_store(f"file://{tmp_path}", CheckpointError).uri == f"file://{tmp_path}"
    assert open_store(str(tmp_path), CheckpointError).uri == f"file://{tmp_path}"
    with pytest.raises(CheckpointError, match="ftp://x: not a place"):
        open_store("ftp://x", CheckpointError)
