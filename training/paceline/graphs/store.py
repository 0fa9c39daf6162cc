"""Compiled graphs under one root, for every run that can use them: a folder per key, the manifest written last.

    <root>/<key>/neuronxcc-<version>/MODULE_.../model.neff      as in the compiler's cache (cache.py)
    <root>/<key>/manifest.json                                  every file with its hash

What a manifest does not name does not exist, and nothing that differs from its hash reaches a device.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paceline.clients.object_store import DirectoryStore, ObjectStore
from paceline.data.manifest import compare, sha256
from paceline.graphs import cache as caches
from paceline.graphs.key import key_of
from paceline.spec.errors import GraphError
from paceline.spec.events import now
from paceline.spec.graphs import GraphFile, GraphsManifest
from paceline.spec.manifest import MANIFEST_NAME


class GraphStore:
    """The graphs of one `key`."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store, self._key = store, key
        self.uri = f"{store.uri}/{key}"
        self._cure = f"delete {self.uri}/{MANIFEST_NAME} and start the run again: its graphs are then compiled anew"

    def manifest(self) -> GraphsManifest | None:
        """None when nobody has compiled them yet; GraphError when what is there is not such a manifest."""
        try:
            found = GraphsManifest.model_validate_json(self._store.get(f"{self._key}/{MANIFEST_NAME}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError as cause:
            first = cause.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            said = f"{where + ': ' if where else ''}{first['msg']}"
            raise GraphError(f"{self.uri}/{MANIFEST_NAME}: not a manifest of graphs: {said}", self._cure) from cause
        if found.key != self._key or key_of(found.made_from) != self._key:
            raise GraphError(f"{self.uri}/{MANIFEST_NAME}: altered: it is that of other graphs", self._cure)
        return found

    def upload(self, cache: Path, made_from: Mapping[str, Any]) -> GraphsManifest:
        """Keep all graphs of the compiler's `cache`, files first, manifest last.

        GraphError, and nothing is kept, when there are none or some were not compiled.
        """
        found = caches.modules(cache)
        failed = [name for name, folder in found.items() if not (folder / caches.NEFF).is_file()]
        if failed:
            listed = ", ".join(failed[:4]) + (f" and {len(failed) - 4} more" if len(failed) > 4 else "")
            raise GraphError(
                f"{cache}: {len(failed)} of {len(found)} graphs were not compiled: {listed}",
                "see what the compiler said, in the warm-up's log",
            )
        if not found:
            raise GraphError(f"{cache}: the warm-up has left no graph", "see the warm-up's log")
        records = []
        for path in caches.files(cache):
            name, content = path.relative_to(cache).as_posix(), path.read_bytes()
            records.append(GraphFile(name=name, bytes=len(content), sha256=sha256(content)))
            self._store.put(f"{self._key}/{name}", content)
        manifest = GraphsManifest(key=self._key, created=now(), made_from=dict(made_from), files=tuple(records))
        self._store.put(f"{self._key}/{MANIFEST_NAME}", _file(manifest))
        return manifest

    def fetch(self, cache: Path) -> GraphsManifest:
        """Make the compiler's `cache` on this node hold these graphs and no others, every hash checked.

        A file that is there and whole is kept. GraphError, naming the file, when one is missing or altered: the cache
        then does not hold it.
        """
        manifest = self.manifest()
        if manifest is None:
            raise GraphError(
                f"{self.uri}: nobody has compiled these graphs",
                "start the run again; if it says so again, its nodes have another compiler than where it is started",
            )
        here = DirectoryStore(cache)
        for name, folder in caches.modules(cache).items():
            if name not in manifest.modules:
                shutil.rmtree(folder)
        try:
            for record in manifest.files:
                if not _is_whole(here, record):
                    here.put(record.name, self._verified(record))
        except OSError as failed:
            raise GraphError(
                f"{cache}: the compiled graphs cannot be stored: {failed.strerror or failed}", "make room there"
            ) from failed
        caches.forget_reads(cache)
        here.put(MANIFEST_NAME, _file(manifest))
        return manifest

    def _verified(self, record: GraphFile) -> bytes:
        where = f"{self.uri}/{record.name}"
        try:
            content = self._store.get(f"{self._key}/{record.name}")
        except FileNotFoundError as cause:
            raise GraphError(f"{where}: missing, but its manifest lists it", self._cure) from cause
        if problem := compare(record, content, where, self._cure):
            raise GraphError.of([problem])
        return content


def expected(cache: Path) -> frozenset[str]:
    """The graphs that `GraphStore.fetch` has brought to this node."""
    return GraphsManifest.model_validate_json((cache / MANIFEST_NAME).read_bytes()).modules


def _file(manifest: GraphsManifest) -> bytes:
    return manifest.model_dump_json(indent=1).encode() + b"\n"


def _is_whole(here: DirectoryStore, record: GraphFile) -> bool:
    try:
        return compare(record, here.get(record.name), record.name, "") is None
    except FileNotFoundError:
        return False
