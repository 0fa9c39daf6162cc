"""Files by key, on a directory or in a bucket, behind one protocol.

`file:///abs/dir` and `s3://bucket/prefix` are the two kinds of root. A write is atomic: the key either holds the whole
new content or what it held before.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from paceline.spec.errors import PacelineError, StorageError

Bytes = bytes | bytearray | memoryview

_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}")
_REFUSED_HINT = "check that the bucket exists and that your role or profile may use it"
_UNREACHABLE_HINT = "check the credentials, AWS_REGION, AWS_ENDPOINT_URL and the network, then try again"


class ObjectStore(Protocol):
    """What the rest of paceline asks of storage. Keys use `/` and are relative to `uri`.

    A directory that refuses raises OSError, a bucket that refuses or cannot be reached StorageError.
    """

    uri: str

    def put(self, key: str, content: Bytes) -> None: ...

    def create(self, key: str, content: Bytes) -> None:
        """As `put`, but FileExistsError when there is such a key: of two who create it one succeeds."""
        ...

    def get(self, key: str) -> bytes:
        """The content; FileNotFoundError when there is no such key."""
        ...

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        """Of the content the bytes from `first` to before `stop`, fewer where it ends; FileNotFoundError as `get`."""
        ...

    def size(self, key: str) -> int:
        """Bytes; FileNotFoundError when there is no such key."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that start with `prefix`, in order."""
        ...

    def delete(self, key: str) -> None:
        """Nothing happens when there is no such key."""
        ...


class DirectoryStore:
    """A directory, local or on a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = f"file://{self.root}"

    def put(self, key: str, content: Bytes) -> None:
        with self._written(key, content) as temporary:
            temporary.replace(self.root / key)

    def create(self, key: str, content: Bytes) -> None:
        with self._written(key, content) as temporary:
            (self.root / key).hardlink_to(temporary)

    @contextmanager
    def _written(self, key: str, content: Bytes) -> Iterator[Path]:
        """A file beside the place of `key` with the whole content; gone afterwards, Ctrl-C or not."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        with (self.root / key).open("rb") as file:
            file.seek(first)
            return file.read(stop - first)

    def size(self, key: str) -> int:
        return (self.root / key).stat().st_size

    def list(self, prefix: str = "") -> Iterator[str]:
        keys = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        yield from sorted(k for k in keys if k.startswith(prefix) and not k.rsplit("/", 1)[-1].startswith("."))

    def delete(self, key: str) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        folder = path.parent
        if folder != self.root and folder.is_dir() and all(_DRAFT.fullmatch(left.name) for left in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)  # with what writers that were killed there left half written


class BucketStore:
    """A prefix of an S3 bucket. Credentials, region and endpoint come from the standard AWS environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config

        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.uri = f"s3://{bucket}/{self.prefix}".rstrip("/")
        retries = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=60)
        with self._translated():
            self._client = boto3.client("s3", config=retries)

    def put(self, key: str, content: Bytes) -> None:
        import io

        with self._translated(key):
            self._client.upload_fileobj(io.BytesIO(content), self.bucket, self.prefix + key)

    def create(self, key: str, content: Bytes) -> None:
        with self._translated(key):
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=bytes(content), IfNoneMatch="*")

    def get(self, key: str) -> bytes:
        with self._translated(key):
            return self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        asked = f"bytes={first}-{stop - 1}"
        with self._translated(key):
            return self._client.get_object(Bucket=self.bucket, Key=self.prefix + key, Range=asked)["Body"].read()

    def size(self, key: str) -> int:
        with self._translated(key):
            return self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)["ContentLength"]

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self.prefix)

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """What the SDK raises, in our words: FileNotFoundError for a missing key, FileExistsError for one that must
        not be there, else StorageError."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"{self.uri}/{key}".rstrip("/")
        try:
            yield
        except ClientError as cause:
            error = cause.response.get("Error", {})
            if error.get("Code") in ("404", "NoSuchKey", "NotFound"):
                raise FileNotFoundError(where) from cause
            if error.get("Code") == "PreconditionFailed":
                raise FileExistsError(where) from cause
            raise StorageError(f"{where}: {error.get('Code')}: {error.get('Message')}", _REFUSED_HINT) from cause
        except (BotoCoreError, Boto3Error) as cause:
            raise StorageError(f"{where}: {cause}", _UNREACHABLE_HINT) from cause


def open_store(uri: str, error: type[PacelineError]) -> ObjectStore:
    """The store at `uri`: s3://bucket/prefix, file:///directory, or a plain path."""
    parts = urlsplit(uri)
    if parts.scheme == "s3" and parts.netloc:
        return BucketStore(parts.netloc, parts.path)
    if parts.scheme == "file":
        return DirectoryStore(Path(parts.path))
    if parts.scheme == "":
        return DirectoryStore(Path(uri))
    raise error(f"{uri}: not a place that can hold files", "use s3://bucket/prefix, file:///directory or a path")
