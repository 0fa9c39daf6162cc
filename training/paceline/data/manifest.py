"""Read a dataset's manifest, and hold its files against it."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from paceline.clients.object_store import Bytes, ObjectStore
from paceline.spec.errors import DataError, Problem
from paceline.spec.manifest import MANIFEST_NAME, DatasetManifest, FileRecord

FORMAT_VERSION = 1


def read_manifest(store: ObjectStore) -> DatasetManifest:
    """The dataset at the root of `store`; DataError when there is none, or one that cannot be understood."""
    where = f"{store.uri}/{MANIFEST_NAME}"
    try:
        content = store.get(MANIFEST_NAME)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise DataError(
            f"{store.uri}: no dataset here: there is no {MANIFEST_NAME}",
            "prepare one with `paceline data prepare`; a dataset whose preparation or upload was cut short is not one",
        ) from cause
    try:
        manifest = DatasetManifest.model_validate_json(content)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{where}: not a dataset manifest: {path + ': ' if path else ''}{first['msg']}",
            "prepare or upload the dataset again, or update paceline if a newer version wrote it",
        ) from cause
    if manifest.format_version != FORMAT_VERSION:
        raise DataError(
            f"{where}: format version {manifest.format_version} is not known, only {FORMAT_VERSION}",
            "update paceline, or prepare the dataset again with this version",
        )
    return manifest


def compare(record: FileRecord, content: Bytes, where: str, cure: str) -> Problem | None:
    """What is wrong with `content` as the file of `record`, or None. `where` names the file for a person."""
    if len(content) != record.bytes:
        return Problem(message=f"{where}: has {len(content)} bytes, its manifest says {record.bytes}", hint=cure)
    actual = sha256(content)
    if actual != record.sha256:
        return Problem(
            message=f"{where}: altered: its SHA-256 is {actual}, its manifest says {record.sha256}", hint=cure
        )
    return None


def sha256(content: Bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()
