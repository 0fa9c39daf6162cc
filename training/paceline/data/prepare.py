"""Turn documents into a dataset: a tokenizer trained on them, token shards, and the manifest that proves both.

Names of files carry the start of their hash. So a new dataset never overwrites a file of the one it replaces: until
the new manifest is in place, the old dataset is whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paceline.clients.object_store import Bytes, DirectoryStore
from paceline.data.corpus import Document
from paceline.data.manifest import read_manifest, sha256
from paceline.data.order import SampleOrder
from paceline.data.progress import Progress, silent
from paceline.data.tokenizer import TextTokenizer
from paceline.spec.errors import DataError
from paceline.spec.manifest import MANIFEST_NAME, DatasetManifest, FileRecord, TokenShard

VOCABULARY = 2048
SHARD_TOKENS = 1 << 24  # 32 MiB of uint16: large enough to stream, small enough to hold in memory while copying
_BATCH = 256  # documents encoded at a time


def prepare(
    documents: Sequence[Document],
    *,
    name: str,
    source: str,
    output: Path,
    vocabulary: int = VOCABULARY,
    shard_tokens: int = SHARD_TOKENS,
    seed: int = 0,
    progress: Progress = silent,
) -> DatasetManifest:
    """Write the dataset of `documents` into the directory `output` and return its manifest.

    The documents are shuffled by `seed`, each is followed by the end-of-text token, and a shard ends with the document
    that brings it to `shard_tokens`. The same input gives the same files and the same manifest, and a second run
    changes nothing, not even the date. DataError when there is nothing to prepare or `output` cannot be written.
    """
    if not documents:
        raise DataError(f"{source}: holds no documents", "give at least one document that is long enough")
    progress("train the tokenizer", 0, 1)
    tokenizer = TextTokenizer.train((d.text for d in documents), vocabulary)
    progress("train the tokenizer", 1, 1)
    width = np.dtype("<u2" if tokenizer.vocabulary <= 1 << 16 else "<u4")
    store = DirectoryStore(output)
    try:
        tokenizer_file = _write(store, "tokenizer", ".json", tokenizer.dump())
        counts = np.zeros(tokenizer.vocabulary, dtype=np.int64)
        shards: list[TokenShard] = []
        for pieces in _shards(_encoded(documents, tokenizer, seed, progress), shard_tokens):
            tokens = np.concatenate(pieces).astype(width)
            counts += np.bincount(tokens, minlength=tokenizer.vocabulary)
            file = _write(store, f"tokens-{len(shards):05d}", ".bin", tokens.tobytes())
            shards.append(TokenShard(**file.model_dump(), tokens=len(tokens), documents=len(pieces)))
        manifest = DatasetManifest(
            name=name,
            created=datetime.now(UTC),
            source=source,
            documents=len(documents),
            characters=sum(len(d.text) for d in documents),
            tokens=int(counts.sum()),
            token_bytes=width.itemsize,
            vocabulary=tokenizer.vocabulary,
            unigram_entropy=_entropy(counts),
            tokenizer=tokenizer_file,
            shards=tuple(shards),
        )
        return _commit(store, manifest)
    except OSError as cause:
        raise DataError(
            f"{output}: the dataset cannot be written: {cause.strerror or cause}",
            "choose a directory that you may write to, with room; a dataset that was there is unharmed",
        ) from cause


def _encoded(
    documents: Sequence[Document], tokenizer: TextTokenizer, seed: int, progress: Progress
) -> Iterator[NDArray[np.uint32]]:
    """The ids of each document with its end-of-text, in shuffled order."""
    order = SampleOrder(seed=seed, num_samples=len(documents))
    shuffled = [documents[order.at(position)[1]].text for position in range(len(documents))]
    progress("tokenise", 0, len(shuffled))
    for start in range(0, len(shuffled), _BATCH):
        for ids in tokenizer.encode(shuffled[start : start + _BATCH]):
            yield np.array([*ids, tokenizer.end_of_text], dtype=np.uint32)
        progress("tokenise", min(start + _BATCH, len(shuffled)), len(shuffled))


def _shards(encoded: Iterator[NDArray[np.uint32]], shard_tokens: int) -> Iterator[list[NDArray[np.uint32]]]:
    pieces: list[NDArray[np.uint32]] = []
    held = 0
    for piece in encoded:
        pieces.append(piece)
        held += len(piece)
        if held >= shard_tokens:
            yield pieces
            pieces, held = [], 0
    if pieces:
        yield pieces


def _entropy(counts: NDArray[np.int64]) -> float:
    """Shannon entropy in nats of the distribution that `counts` samples."""
    total = int(counts.sum())
    return -math.fsum(n / total * math.log(n / total) for n in counts.tolist() if n)


def _write(store: DirectoryStore, stem: str, suffix: str, content: Bytes) -> FileRecord:
    digest = sha256(content)
    record = FileRecord(name=f"{stem}-{digest[:12]}{suffix}", bytes=len(content), sha256=digest)
    store.put(record.name, content)
    return record


def _commit(store: DirectoryStore, manifest: DatasetManifest) -> DatasetManifest:
    """Make `manifest` the dataset of `store`, then remove the files of the one it replaced."""
    try:
        before = read_manifest(store)
    except DataError:
        before = None
    if before is not None and before.model_copy(update={"created": manifest.created}) == manifest:
        return before
    store.put(MANIFEST_NAME, manifest.model_dump_json(indent=2).encode() + b"\n")
    kept = {file.name for file in (manifest.tokenizer, *manifest.shards)}
    for file in (before.tokenizer, *before.shards) if before else ():
        if file.name not in kept:
            store.delete(file.name)
    return manifest
