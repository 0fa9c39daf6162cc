"""Fixed-length windows over the token shards of a dataset, memory-mapped when they are first touched.

A shard of T tokens holds (T - 1) // L windows of L + 1 tokens, L apart: the last token of a window is the first of the
next, so every token but the first of a shard is predicted exactly once. A window never crosses the end of a shard; the
tail that fills no window is not used. Where samples were laid out in advance, a window is a sample, and none overlaps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paceline.clients.object_store import DirectoryStore
from paceline.data.manifest import compare, read_manifest
from paceline.spec.errors import DataError, Problem
from paceline.spec.manifest import DatasetManifest, TokenShard

Tokens = NDArray[np.unsignedinteger[Any]]

_CURE = "fetch or prepare the dataset again; files that verify are kept"


class TokenDataset:
    """The windows of `shards`, numbered from 0 through all of them in their order: those that are trained on, or those
    that are held out."""

    def __init__(
        self, manifest: DatasetManifest, directory: Path, shards: Sequence[TokenShard], sequence_length: int
    ) -> None:
        self.manifest = manifest
        self.sequence_length = sequence_length
        laid_out = manifest.samples
        self.sequences_per_sample = laid_out.sequences if laid_out else 1
        self._window = self.sequences_per_sample * (sequence_length + 1)
        self._stride = self._window if laid_out else sequence_length
        self._directory = directory
        self._shards = shards
        self._mapped: dict[int, Tokens] = {}
        self._ends = list(accumulate(self._windows_of(shard) for shard in shards))

    @classmethod
    def open(cls, directory: Path, *, sequence_length: int, verify: bool, held_out: bool = False) -> TokenDataset:
        """The dataset in `directory`. One DataError names every source without a window and, with `verify`, which reads
        everything, every shard that is missing, short or altered. Without it a shard is looked at when it is first
        touched, so that opening does not take longer the more shards there are."""
        manifest = read_manifest(DirectoryStore(directory))
        if manifest.samples and manifest.samples.sequence_length != sequence_length:
            prepared = manifest.samples.sequence_length
            raise DataError(
                f"{directory}: its samples were laid out for sequences of {prepared} tokens, not {sequence_length}",
                f"set data.sequence_length to {prepared}, or prepare it again with --sequence-length",
            )
        shards = manifest.held_out if held_out else manifest.shards
        if not shards:
            raise DataError(f"{directory}: nothing is held out", "prepare it with --held-out 0.01, or evaluate nothing")
        if verify and (problems := [p for s in shards if (p := _damage(directory, s, manifest.token_bytes))]):
            raise DataError.of(problems)
        dataset = cls(manifest, directory, shards, sequence_length)
        if dataset.num_windows == 0:
            longest = max(shard.tokens for shard in shards)
            raise DataError(
                f"{directory}: no shard holds a window of {sequence_length} + 1 tokens; the longest has {longest}",
                "lower data.sequence_length, or prepare a larger dataset",
            )
        empty = [] if held_out else [name for name, count in dataset.windows_by_source().items() if not count]
        if manifest.mixture and empty:
            raise DataError(
                f"{directory}: of {', '.join(empty)} no shard holds a window of {sequence_length} + 1 tokens",
                "lower data.sequence_length, or prepare the dataset with more of that source",
            )
        return dataset

    @property
    def num_windows(self) -> int:
        return self._ends[-1]

    def windows_by_source(self) -> dict[str, int]:
        """How many windows each source has, in the order of the shards."""
        counts: dict[str, int] = {}
        for shard in self._shards:
            name = shard.source or ""
            counts[name] = counts.get(name, 0) + self._windows_of(shard)
        return counts

    def window(self, index: int) -> Tokens:
        """Tokens [sequences_per_sample * (sequence_length + 1)] of window `index`, a read-only view of the shard."""
        assert 0 <= index < self.num_windows
        shard = bisect_right(self._ends, index)
        start = (index - (self._ends[shard - 1] if shard else 0)) * self._stride
        return self._tokens(shard)[start : start + self._window]

    def _windows_of(self, shard: TokenShard) -> int:
        return (shard.tokens - self._window + self._stride) // self._stride

    def _tokens(self, shard: int) -> Tokens:
        tokens = self._mapped.get(shard)
        if tokens is None:
            record = self._shards[shard]
            path = self._directory / record.name
            if problem := _wrong_size(path, record, self.manifest.token_bytes):
                raise DataError.of([problem])
            tokens = self._mapped[shard] = _map(path, self.manifest.token_bytes)
        return tokens


def _damage(directory: Path, record: TokenShard, token_bytes: int) -> Problem | None:
    """What is wrong with the file of a shard, or None; reads all of it."""
    path = directory / record.name
    if problem := _wrong_size(path, record, token_bytes):
        return problem
    return compare(record, _map(path, token_bytes).data.cast("B"), str(path), _CURE)


def _wrong_size(path: Path, record: TokenShard, token_bytes: int) -> Problem | None:
    """Whether the file of a shard is missing, short or too long."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Problem(message=f"{path}: missing, but its manifest lists it", hint=_CURE)
    except OSError as cause:
        return Problem(message=f"{path}: cannot be read: {cause.strerror or cause}", hint=_CURE)
    if size == record.bytes == record.tokens * token_bytes:
        return None
    says = f"{record.bytes} bytes and {record.tokens} tokens of {token_bytes} bytes"
    return Problem(message=f"{path}: has {size} bytes, its manifest says {says}", hint=_CURE)


def _map(path: Path, token_bytes: int) -> Tokens:
    return np.memmap(path, dtype=f"<u{token_bytes}", mode="r")
