"""Turn documents into a dataset: a tokenizer trained on them, token shards, and the manifest that proves both.

Names of files carry the start of their hash. So a new dataset never overwrites a file of the one it replaces: until
the new manifest is in place, the old dataset is whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

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
_Any = TypeVar("_Any")


def prepare(
    documents: Sequence[Document],
    *,
    name: str,
    source: str,
    output: Path,
    vocabulary: int = VOCABULARY,
    tokenizer: TextTokenizer | None = None,
    mixture: Mapping[str, int] | None = None,
    held_out: float = 0.0,
    shard_tokens: int = SHARD_TOKENS,
    seed: int = 0,
    progress: Progress = silent,
) -> DatasetManifest:
    """Write the dataset of `documents` into the directory `output` and return its manifest.

    The documents are shuffled by `seed`, each is followed by the end-of-text token, and a shard ends with the document
    that brings it to `shard_tokens`. Without a `tokenizer` one of at most `vocabulary` tokens is trained; with one,
    `vocabulary` counts only if it is larger, as of a model with rows to spare. The last `held_out` part of the shuffled
    documents is not trained on. `mixture` gives the parts of each `Document.source`, whose shards are then apart.

    The same input gives the same files and the same manifest, and a second run changes nothing, not even the date.
    DataError when there is nothing to prepare or `output` cannot be written.
    """
    trained, kept_back = divided(documents, source, seed, held_out)
    if tokenizer is None:
        progress("train the tokenizer", 0, 1)
        tokenizer = TextTokenizer.train((d.text for d in documents), vocabulary)
        progress("train the tokenizer", 1, 1)
        vocabulary = tokenizer.vocabulary
    vocabulary = max(vocabulary, tokenizer.vocabulary)
    width = np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
    store = DirectoryStore(output)
    counts = np.zeros(vocabulary, dtype=np.int64)

    def shards(part: Sequence[Document], stem: str, of: str | None = None) -> Iterator[TokenShard]:
        for number, pieces in enumerate(_shards(_encoded(part, tokenizer, stem, progress), shard_tokens)):
            tokens = np.concatenate(pieces).astype(width)
            np.add(counts, np.bincount(tokens, minlength=vocabulary), out=counts)
            file = write_file(store, f"{stem}-{number:05d}", ".bin", tokens.tobytes())
            yield TokenShard(**file.model_dump(), tokens=len(tokens), documents=len(pieces), source=of)

    try:
        tokenizer_file = write_file(store, "tokenizer", ".json", tokenizer.dump())
        kept_back_shards = tuple(shards(kept_back, "held-out"))
        counts[:] = 0
        if mixture:
            parts = _by_source(trained, mixture)
            trained_shards = [shard for of, part in parts.items() for shard in shards(part, f"tokens-{of}", of)]
        else:
            trained_shards = list(shards(trained, "tokens"))
        manifest = DatasetManifest(
            name=name,
            created=datetime.now(UTC),
            source=source,
            documents=len(trained),
            characters=sum(len(d.text) for d in trained),
            tokens=int(counts.sum()),
            token_bytes=width.itemsize,
            vocabulary=vocabulary,
            unigram_entropy=entropy(counts),
            end_of_text=tokenizer.end_of_text,
            tokenizer=tokenizer_file,
            shards=tuple(trained_shards),
            mixture=dict(mixture or {}),
            held_out=kept_back_shards,
            held_out_bytes=sum(len(d.text.encode()) for d in kept_back),
        )
        return commit(store, manifest)
    except OSError as cause:
        raise DataError(
            f"{output}: the dataset cannot be written: {cause.strerror or cause}",
            "choose a directory that you may write to, with room; a dataset that was there is unharmed",
        ) from cause


def divided(documents: Sequence[_Any], source: str, seed: int, held_out: float) -> tuple[list[_Any], list[_Any]]:
    """The documents, or samples, in shuffled order: what is trained on, and what is held out of it."""
    if not documents:
        raise DataError(f"{source}: holds no documents", "give at least one document that is long enough")
    order = SampleOrder(seed=seed, num_samples=len(documents))
    shuffled = [documents[order.at(position)[1]] for position in range(len(documents))]
    kept_back = math.ceil(held_out * len(documents))
    if kept_back >= len(documents):
        raise DataError(
            f"{source}: of {len(documents)} documents {kept_back} would be held out, and none is left to train on",
            "hold out a smaller part, or give more documents",
        )
    return shuffled[: len(documents) - kept_back], shuffled[len(documents) - kept_back :]


def _by_source(documents: Sequence[Document], mixture: Mapping[str, int]) -> dict[str, list[Document]]:
    """The documents of each source of the mixture; DataError for a source that has none."""
    parts = {source: [d for d in documents if d.source == source] for source in mixture}
    if empty := [source for source, part in parts.items() if not part]:
        raise DataError(f"{', '.join(empty)}: no document is left to train on", "give more, or hold out a smaller part")
    return parts


def _encoded(
    documents: Sequence[Document], tokenizer: TextTokenizer, what: str, progress: Progress
) -> Iterator[NDArray[np.uint32]]:
    """The ids of each document with its end-of-text."""
    for start in range(0, len(documents), _BATCH):
        for ids in tokenizer.encode([document.text for document in documents[start : start + _BATCH]]):
            yield np.array([*ids, tokenizer.end_of_text], dtype=np.uint32)
        progress(f"tokenise {what}", min(start + _BATCH, len(documents)), len(documents))


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


def entropy(counts: NDArray[np.int64]) -> float:
    """Shannon entropy in nats of the distribution that `counts` samples."""
    total = int(counts.sum())
    return -math.fsum(n / total * math.log(n / total) for n in counts.tolist() if n)


def write_file(store: DirectoryStore, stem: str, suffix: str, content: Bytes) -> FileRecord:
    """One file of a dataset, with the start of its hash in its name."""
    digest = sha256(content)
    record = FileRecord(name=f"{stem}-{digest[:12]}{suffix}", bytes=len(content), sha256=digest)
    store.put(record.name, content)
    return record


def commit(store: DirectoryStore, manifest: DatasetManifest) -> DatasetManifest:
    """Make `manifest` the dataset of `store`, then remove the files of the one it replaced."""
    try:
        before = read_manifest(store)
    except DataError:
        before = None
    if before is not None and before.model_copy(update={"created": manifest.created}) == manifest:
        return before
    store.put(MANIFEST_NAME, manifest.model_dump_json(indent=2).encode() + b"\n")
    kept = {file.name for file in manifest.files}
    for file in before.files if before else ():
        if file.name not in kept:
            store.delete(file.name)
    return manifest
