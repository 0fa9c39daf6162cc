from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

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
    directory.put("a/one", b"0123456789")
    assert (directory.get_range("a/one", 2, 5), directory.get_range("a/one", 8, 20)) == (b"234", b"89")
    directory.delete("a/one")
    directory.delete("a/one")
    with pytest.raises(FileNotFoundError):
        directory.get("a/one")


def test_a_folder_goes_with_its_last_key_and_with_what_killed_writers_left(
    directory: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.put("step-1/rank-0", b"0")
    directory.put("step-1/rank-1", b"1")
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    directory.create("step-1/rank-2", b"2")
    monkeypatch.undo()
    directory.delete("step-1/rank-2")
    directory.delete("step-1/rank-0")
    assert len(list((tmp_path / "step-1").iterdir())) == 2, "a key, and what one that was killed left"
    directory.delete("step-1/rank-1")
    assert not (tmp_path / "step-1").exists()
    directory.put("step-2/mine", b"2")
    (tmp_path / "step-2" / ".hidden").write_text("another's")
    directory.delete("step-2/mine")
    assert (tmp_path / "step-2" / ".hidden").exists()
    directory.put("alone", b"1")
    directory.delete("alone")
    assert tmp_path.exists()


def test_a_bucket_reads_under_its_prefix(bucket: BucketStore) -> None:
    key = {"Bucket": "saved", "Key": f"team/run/{KEY}"}
    with Stubber(bucket._client) as stub:
        stub.add_response("get_object", {"Body": io.BytesIO(b"content")}, key)
        stub.add_response("get_object", {"Body": io.BytesIO(b"nte")}, key | {"Range": "bytes=2-4"})
        stub.add_response("head_object", {"ContentLength": 7}, key)
        stub.add_response(
            "list_objects_v2",
            {"Contents": [{"Key": "team/run/a"}, {"Key": "team/run/b"}]},
            {"Bucket": "saved", "Prefix": "team/run/"},
        )
        stub.add_response("delete_object", {}, key)
        assert bucket.get(KEY) == b"content"
        assert bucket.get_range(KEY, 2, 5) == b"nte"
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


def test_of_two_who_create_a_key_one_succeeds(directory: DirectoryStore, tmp_path: Path) -> None:
    directory.create(KEY, b"first")
    with pytest.raises(FileExistsError):
        directory.create(KEY, b"second")
    assert directory.get(KEY) == b"first"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["manifest.json"]


def test_a_bucket_creates_a_key_only_where_there_is_none(bucket: BucketStore) -> None:
    once = {"Bucket": "saved", "Key": f"team/run/{KEY}", "Body": b"x", "IfNoneMatch": "*"}
    with Stubber(bucket._client) as stub:
        stub.add_response("put_object", {}, once)
        stub.add_client_error("put_object", "PreconditionFailed", expected_params=once)
        bucket.create(KEY, b"x")
        with pytest.raises(FileExistsError, match=KEY):
            bucket.create(KEY, b"x")


class Throttling(BaseHTTPRequestHandler):
    """An S3 that refuses every request as often as `refusals` says before it serves it."""

    refusals: ClassVar[int] = 0
    seen: ClassVar[Counter[str]] = Counter()

    def do_PUT(self) -> None:
        self._answer(b"", {"ETag": '"e"'})

    def do_POST(self) -> None:
        names = {"UploadId": "u", "Bucket": "saved", "Key": "k", "ETag": "e"}
        fields = "".join(f"<{name}>{value}</{name}>" for name, value in names.items())
        self._answer(f"<Result>{fields}</Result>".encode(), {})

    def do_DELETE(self) -> None:
        self._answer(b"", {})

    def _answer(self, content: bytes, headers: dict[str, str]) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        what = f"{self.command} {self.path.partition('?')[2]}"
        self.seen[what] += 1
        status = 503 if self.seen[what] <= self.refusals else 200
        if status == 503:
            content, headers = b"<Error><Code>SlowDown</Code><Message>please</Message></Error>", {}
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def throttling(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Throttling]]:
    class Server(Throttling):
        seen: ClassVar[Counter[str]] = Counter()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    yield Server
    server.shutdown()
    server.server_close()


def test_a_large_file_goes_up_in_parts_and_each_is_tried_again(
    throttling: type[Throttling], request: pytest.FixtureRequest
) -> None:
    throttling.refusals = 2
    bucket: BucketStore = request.getfixturevalue("bucket")  # after the environment says where it is
    bucket.put(KEY, bytes(17 * 2**20))
    parts = {what: tries for what, tries in throttling.seen.items() if "partNumber" in what}
    assert sorted(parts.values()) == [3, 3, 3]
    assert len(throttling.seen) == 5 and set(throttling.seen.values()) == {3}, "begun, three parts, completed"


def test_a_bucket_that_stays_throttled_is_told_and_its_parts_are_given_back(
    throttling: type[Throttling], request: pytest.FixtureRequest
) -> None:
    throttling.refusals = 6
    throttling.seen["POST uploads"] = 6  # it begins well
    bucket: BucketStore = request.getfixturevalue("bucket")
    with pytest.raises(StorageError, match="SlowDown"):
        bucket.put(KEY, bytes(17 * 2**20))
    assert any(what.startswith("DELETE") for what in throttling.seen)
