"""Fixed-length windows over the token shards of a dataset, memory-mapped.

A shard of T tokens holds (T - 1) // L windows of L + 1 tokens, L apart: the last token of a window is the first of the
next, so every token but the first of a shard is predicted exactly once. A window never crosses the end of a shard; the
tail that fills no window is not used.
"""

from __future__ import annotations

from bisect import bisect_right
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


class TokenDataset:
    """The windows of one dataset, numbered from 0 through all shards in the order of the manifest."""

    def __init__(self, manifest: DatasetManifest, shards: list[Tokens], sequence_length: int) -> None:
        self.manifest = manifest
        self.sequence_length = sequence_length
        self._shards = shards
        self._ends = list(accumulate((len(shard) - 1) // sequence_length for shard in shards))

    @classmethod
    def open(cls, directory: Path, *, sequence_length: int, verify: bool) -> TokenDataset:
        """Map the dataset in `directory`. Sizes are always checked; `verify` also reads every shard and checks its
        hash. One DataError names every shard that is missing, short or altered."""
        manifest = read_manifest(DirectoryStore(directory))
        found = [_map(directory, record, manifest.token_bytes, verify) for record in manifest.shards]
        if problems := [item for item in found if isinstance(item, Problem)]:
            raise DataError.of(problems)
        dataset = cls(manifest, [item for item in found if not isinstance(item, Problem)], sequence_length)
        if dataset.num_windows == 0:
            longest = max(shard.tokens for shard in manifest.shards)
            raise DataError(
                f"{directory}: no shard holds a window of {sequence_length} + 1 tokens; the longest has {longest}",
                "lower data.sequence_length, or prepare a larger dataset",
            )
        return dataset

    @property
    def num_windows(self) -> int:
        return self._ends[-1]

    def window(self, index: int) -> Tokens:
        """Tokens [sequence_length + 1] of window `index`, as a read-only view of the shard."""
        assert 0 <= index < self.num_windows
        shard = bisect_right(self._ends, index)
        start = (index - (self._ends[shard - 1] if shard else 0)) * self.sequence_length
        return self._shards[shard][start : start + self.sequence_length + 1]


def _map(directory: Path, record: TokenShard, token_bytes: int, verify: bool) -> Tokens | Problem:
    path = directory / record.name
    cure = "fetch or prepare the dataset again; files that verify are kept"
    try:
        size = path.stat().st_size
        if size != record.bytes or size != record.tokens * token_bytes:
            says = f"{record.bytes} bytes and {record.tokens} tokens of {token_bytes} bytes"
            return Problem(message=f"{path}: has {size} bytes, its manifest says {says}", hint=cure)
        shard = np.memmap(path, dtype=f"<u{token_bytes}", mode="r")
    except FileNotFoundError:
        return Problem(message=f"{path}: missing, but its manifest lists it", hint=cure)
    except OSError as cause:
        return Problem(message=f"{path}: cannot be read: {cause.strerror or cause}", hint=cure)
    if verify and (problem := compare(record, shard.data.cast("B"), str(path), cure)):
        return problem
    return shard
