"""Files by key, on a directory or in a bucket, behind one protocol.

`file:///abs/dir` and `s3://bucket/prefix` are the two kinds of root. A write is atomic: the key either holds the whole
new content or what it held before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from paceline.spec.errors import PacelineError

Bytes = bytes | bytearray | memoryview


class ObjectStore(Protocol):
    """What the rest of paceline asks of storage. Keys use `/` and are relative to `uri`."""

    uri: str

    def put(self, key: str, content: Bytes) -> None: ...

    def get(self, key: str) -> bytes:
        """The content; FileNotFoundError when there is no such key."""
        ...

    def size(self, key: str) -> int:
        """Bytes; FileNotFoundError when there is no such key."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that start with `prefix`, in order."""
        ...

    def delete(self, key: str) -> None: ...


class DirectoryStore:
    """A directory, local or on a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = f"file://{self.root}"

    def put(self, key: str, content: Bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def size(self, key: str) -> int:
        return (self.root / key).stat().st_size

    def list(self, prefix: str = "") -> Iterator[str]:
        keys = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        yield from sorted(k for k in keys if k.startswith(prefix) and not k.rsplit("/", 1)[-1].startswith("."))

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)


class BucketStore:
    """A prefix of an S3 bucket. Credentials, region and endpoint come from the standard AWS environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config

        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.uri = f"s3://{bucket}/{self.prefix}".rstrip("/")
        retries = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=60)
        self._client = boto3.client("s3", config=retries)

    def put(self, key: str, content: Bytes) -> None:
        import io

        self._client.upload_fileobj(io.BytesIO(content), self.bucket, self.prefix + key)

    def get(self, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
        except self._client.exceptions.ClientError as cause:
            raise self._translated(cause, key) from cause

    def size(self, key: str) -> int:
        try:
            return self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)["ContentLength"]
        except self._client.exceptions.ClientError as cause:
            raise self._translated(cause, key) from cause

    def list(self, prefix: str = "") -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(self.prefix)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def _translated(self, cause: Exception, key: str) -> Exception:
        code = getattr(cause, "response", {}).get("Error", {}).get("Code")
        return FileNotFoundError(f"{self.uri}/{key}") if code in ("404", "NoSuchKey", "NotFound") else cause


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
