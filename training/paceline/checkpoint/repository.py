"""Durable checkpoints of a run: a folder per step, a manifest written last, a pointer after it.

    <root>/step-00000020/rank-00000.generation-0003.safetensors   one shard file per rank
    <root>/step-00000020/manifest.json                            its presence commits the checkpoint
    <root>/step-00000020/blocks-00000.generation-0003.xxh3        the hashes of its blocks
    <root>/latest.json                                            a hint, never trusted by itself
    <root>/generations/00000003.json                              who trains in generation 3, since it was opened

A file carries the generation that wrote it: what a node that was lost still uploads can never alter a checkpoint that
a later generation has committed. A coordinator that was cut off, and knows nothing of a later generation, finds it
claimed here and commits nothing.

Readers trust manifests only. A checkpoint without one, with a short file or a wrong hash does not exist; the next
older one is taken, and the caller is told why.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from paceline.checkpoint.blocks import BLOCK_BYTES, BlockReader, Range, digests
from paceline.checkpoint.retention import Retention
from paceline.checkpoint.shard_file import LENGTH_BYTES, ShardFileLayout, header_bytes, parse
from paceline.clients.object_store import Bytes, ObjectStore
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import (
    LATEST_NAME,
    MANIFEST_NAME,
    BlockHashes,
    CheckpointFile,
    CheckpointManifest,
    FileRecord,
    LatestPointer,
)

_GENERATIONS = "generations/"
_GENERATION = re.compile(rf"{_GENERATIONS}(\d{{8,}})\.json")
_SUPERSEDED_HINT = "another coordinator of this run decides; this one was cut off: end it"
_FILE = re.compile(r"step-(\d{8,})/([^/]+)")
Rejected = Callable[[int | None, str, str], None]
Needs = Callable[[ShardFileLayout], Iterable[Range]]


def step_folder(step: int) -> str:
    return f"step-{step:08d}"


def shard_name(rank: int, generation: int) -> str:
    return f"rank-{rank:05d}.generation-{generation:04d}.safetensors"


def blocks_name(rank: int, generation: int) -> str:
    return f"blocks-{rank:05d}.generation-{generation:04d}.xxh3"


class CheckpointRepository:
    """The checkpoints under one root."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def uri(self, step: int) -> str:
        return f"{self.store.uri}/{step_folder(step)}"

    def put_shard(self, step: int, rank: int, content: Bytes, *, generation: int) -> CheckpointFile:
        """Write one rank's file and its block hashes; they belong to no checkpoint until a manifest names them."""
        hashes = BlockHashes(
            block_bytes=BLOCK_BYTES, **self._put(step, blocks_name(rank, generation), digests(content)).model_dump()
        )
        file = self._put(step, shard_name(rank, generation), content)
        return CheckpointFile(rank=rank, blocks=hashes, **file.model_dump())

    def _put(self, step: int, name: str, content: Bytes) -> FileRecord:
        self.store.put(f"{step_folder(step)}/{name}", content)
        return FileRecord(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def claim(self, generation: int, content: bytes) -> None:
        """Say that `generation`, which `content` describes, is in force: none before it can commit any more.

        Raises CheckpointError when a later one is in force, or another one of this number. Done again it changes
        nothing.
        """
        self._refuse_older_than_claimed(generation)
        key = f"{_GENERATIONS}{generation:08d}.json"
        try:
            self.store.create(key, content)
        except FileExistsError:
            if self.store.get(key) != content:
                raise CheckpointError(
                    f"{self.store.uri}: another generation {generation} is in force", _SUPERSEDED_HINT
                ) from None

    def newest_claimed(self) -> int | None:
        """The last generation that was claimed."""
        claimed = [int(found[1]) for key in self.store.list(_GENERATIONS) if (found := _GENERATION.fullmatch(key))]
        return max(claimed, default=None)

    def _refuse_older_than_claimed(self, generation: int) -> None:
        newest = self.newest_claimed()
        if newest is not None and newest > generation:
            raise CheckpointError(
                f"{self.store.uri}: generation {newest} has taken over from generation {generation}", _SUPERSEDED_HINT
            )

    def commit(self, manifest: CheckpointManifest, *, generation: int | None = None) -> None:
        """Make the checkpoint exist: manifest first, pointer after it. CheckpointError when a generation later than
        the `generation` of who commits was claimed."""
        if generation is not None:
            self._refuse_older_than_claimed(generation)
        key = f"{step_folder(manifest.step)}/{MANIFEST_NAME}"
        self.store.put(key, manifest.to_file())
        pointer = LatestPointer(step=manifest.step, manifest=key)
        self.store.put(LATEST_NAME, pointer.model_dump_json().encode())

    def steps(self) -> list[int]:
        """Steps that have a manifest, newest first. Says nothing about what the manifests are worth."""
        return sorted({step for step, name in self._files() if name == MANIFEST_NAME}, reverse=True)

    def manifest(self, step: int) -> CheckpointManifest:
        """The manifest of `step`; CheckpointError when there is none or it is not one."""
        key = f"{step_folder(step)}/{MANIFEST_NAME}"
        try:
            manifest = CheckpointManifest.from_file(self.store.get(key))
        except FileNotFoundError as cause:
            raise CheckpointError(
                f"{self.uri(step)}: no manifest, so there is no checkpoint",
                "`paceline checkpoint ls` shows what there is",
            ) from cause
        except ValueError as cause:
            raise CheckpointError(f"{self.uri(step)}: the manifest is damaged", "take an older checkpoint") from cause
        if manifest.step != step:
            raise CheckpointError(
                f"{self.uri(step)}: the manifest is of step {manifest.step}", "take an older checkpoint"
            )
        return manifest

    def read(self, step: int, file: FileRecord) -> bytearray:
        """One verified file of a checkpoint, in writable memory."""
        where = f"{self.uri(step)}/{file.name}"
        try:
            content = bytearray(self.store.get(f"{step_folder(step)}/{file.name}"))
        except FileNotFoundError as cause:
            raise CheckpointError(f"{where}: missing", "take an older checkpoint") from cause
        if len(content) != file.bytes:
            raise CheckpointError(
                f"{where}: {len(content)} bytes instead of {file.bytes}: truncated or altered",
                "take an older checkpoint",
            )
        if (actual := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise CheckpointError(
                f"{where}: SHA-256 is {actual[:12]}..., the manifest says {file.sha256[:12]}...: altered",
                "take an older checkpoint",
            )
        return content

    def contents(
        self, step: int, files: Iterable[CheckpointFile], needs: Needs | None = None
    ) -> Iterator[tuple[str, memoryview]]:
        """Verified files of a checkpoint, one at a time, each with its place for messages. Where `needs` says which
        ranges of a file of such a layout are looked at, no more is read than the blocks in which these lie."""
        for file in files:
            where = f"{self.uri(step)}/{file.name}"
            if needs is None or file.blocks is None:
                yield where, memoryview(self.read(step, file))
            else:
                yield where, self._parts(step, file, file.blocks, needs, where)

    def _parts(self, step: int, file: CheckpointFile, blocks: BlockHashes, needs: Needs, where: str) -> memoryview:
        hashes, key = bytes(self.read(step, blocks)), f"{step_folder(step)}/{file.name}"
        read = partial(self.store.get_range, key)
        reader = BlockReader(read, size=file.bytes, blocks=blocks, hashes=hashes, where=where)
        try:
            reader.load([(0, LENGTH_BYTES)])
            reader.load([(0, min(header_bytes(reader.memory), file.bytes))])
            reader.load(needs(parse(reader.memory, where)))
        except FileNotFoundError as cause:
            raise CheckpointError(f"{where}: missing", "take an older checkpoint") from cause
        return reader.memory

    def verify(self, step: int) -> CheckpointManifest:
        """Read every byte of a checkpoint and compare it with its manifest."""
        manifest = self.manifest(step)
        ranks = sorted(file.rank for file in manifest.files)
        if ranks != list(range(manifest.world_size)):
            raise CheckpointError(
                f"{self.uri(step)}: files of ranks {ranks} for a world of {manifest.world_size}",
                "take an older checkpoint",
            )
        for file in manifest.everything:
            self.read(step, file)
        return manifest

    def newest(self, rejected: Rejected) -> CheckpointManifest | None:
        """The newest checkpoint that verifies; each one passed over is told to `rejected` (step, uri, reason)."""
        return self._first(self.verify, rejected)

    def newest_committed(self, rejected: Rejected) -> CheckpointManifest | None:
        """The newest checkpoint whose manifest can be read; its files are not."""
        return self._first(self.manifest, rejected)

    def _first(self, read: Callable[[int], CheckpointManifest], rejected: Rejected) -> CheckpointManifest | None:
        for step in self.steps():
            try:
                return read(step)
            except CheckpointError as error:
                rejected(step, self.uri(step), error.problems[0].message)
        return None

    def overtaken(self, retention: Retention, *, newest: int) -> list[int]:
        """Steps with files that `prune` would remove, newest first: what lies below the newest checkpoints that are
        kept, committed or not, and that `retention` does not spare.

        What lies above `newest` does not count: the run went back behind it because it is damaged. A checkpoint whose
        manifest cannot be read is spared by nothing.
        """
        committed = [step for step in self.steps() if step <= newest]
        if not committed:
            return []
        oldest = committed[: retention.newest][-1]
        below = {step for step, _ in self._files() if step < oldest}
        if below and retention.needs_manifests:
            below -= retention.spared(self._readable(committed), below=oldest)
        return sorted(below, reverse=True)

    def _readable(self, steps: Iterable[int]) -> Iterator[CheckpointManifest]:
        for step in steps:
            with contextlib.suppress(CheckpointError):
                yield self.manifest(step)

    def prune(self, retention: Retention, *, newest: int) -> list[int]:
        """Remove the files of the steps that are `overtaken`, manifest first: none is ever half there. Returns them."""
        steps = self.overtaken(retention, newest=newest)
        doomed = [(step, name) for step, name in self._files() if step in set(steps)]
        for step, name in sorted(doomed, key=lambda file: file[1] != MANIFEST_NAME):
            self.store.delete(f"{step_folder(step)}/{name}")
        return steps

    def _files(self) -> Iterator[tuple[int, str]]:
        """Step and name of every file in a step's folder."""
        for key in self.store.list("step-"):
            if found := _FILE.fullmatch(key):
                yield int(found[1]), found[2]
