"""Move a dataset between a directory and an object store: files first, manifest last, every hash checked."""

from __future__ import annotations

from pathlib import Path

from paceline.clients.object_store import DirectoryStore, ObjectStore
from paceline.data.manifest import compare, read_manifest
from paceline.data.progress import Progress, silent
from paceline.spec.errors import DataError
from paceline.spec.manifest import MANIFEST_NAME, DatasetManifest, FileRecord


def upload(directory: Path, store: ObjectStore, *, progress: Progress = silent) -> DatasetManifest:
    """Copy the dataset in `directory` to the root of `store`.

    A file that is there under the same name (which carries its hash) with the same size is not sent again. DataError,
    before anything is replaced, if a local file is not what the manifest says.
    """
    here = DirectoryStore(directory)
    manifest = read_manifest(here)
    files = manifest.files
    for done, record in enumerate(files):
        progress("upload", done, len(files))
        if not _is_there(store, record):
            store.put(record.name, _verified(here, record, "prepare the dataset again"))
    store.put(MANIFEST_NAME, here.get(MANIFEST_NAME))
    progress("upload", len(files), len(files))
    return manifest


def fetch(store: ObjectStore, directory: Path, *, progress: Progress = silent) -> DatasetManifest:
    """Bring the dataset at the root of `store` into `directory`, a cache on this node.

    A file that is already there and verifies is kept. DataError, naming the file, if what arrives is not what the
    manifest says; the cache then holds no such file.
    """
    manifest = read_manifest(store)
    here = DirectoryStore(directory)
    files = manifest.files
    try:
        for done, record in enumerate(files):
            progress("fetch", done, len(files))
            if not _is_verified(here, record):
                cure = f"delete that file if it is there, then upload the dataset again to {store.uri}"
                here.put(record.name, _verified(store, record, cure))
        here.put(MANIFEST_NAME, manifest.model_dump_json(indent=2).encode() + b"\n")
    except OSError as cause:
        raise DataError(
            f"{directory}: the dataset cannot be stored: {cause.strerror or cause}",
            "make room, or point the run at a directory that you may write to",
        ) from cause
    progress("fetch", len(files), len(files))
    return manifest


def _is_there(store: ObjectStore, record: FileRecord) -> bool:
    try:
        return store.size(record.name) == record.bytes
    except FileNotFoundError:
        return False


def _is_verified(store: DirectoryStore, record: FileRecord) -> bool:
    try:
        return compare(record, store.get(record.name), record.name, "") is None
    except FileNotFoundError:
        return False


def _verified(store: ObjectStore, record: FileRecord, cure: str) -> bytes:
    where = f"{store.uri}/{record.name}"
    try:
        content = store.get(record.name)
    except FileNotFoundError as cause:
        raise DataError(f"{where}: missing, but its manifest lists it", cure) from cause
    if problem := compare(record, content, where, cure):
        raise DataError.of([problem])
    return content
