"""Proof of what was consumed, the same for every number of ranks.

Every sample has a digest: SHA-256 over its place in the order and its tokens. The digest of a step is the sum of its
samples' digests, as four unsigned 64-bit words that wrap around. The sum does not depend on who consumed which sample,
so ranks add theirs up with one integer all-reduce, and a run that shrinks, grows or moves keeps the same ledger. Steps
are chained: each head is SHA-256 over the head before it and the step.

Two runs with the same head consumed, step by step, the same windows of the same dataset. That detects faults: a step
lost, repeated or taken from the wrong place, a token altered on the way. It is no defence against an adversary, who can
write any head he likes and can find other samples with the same sum; and it covers the batch as it was handed to the
engine, not what the engine did with it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paceline.data.index import TokenDataset
from paceline.data.order import Order

WORDS = 4
Digest = NDArray[np.uint64]
"""Four 64-bit words: a SHA-256 as little-endian numbers, or a wrap-around sum of some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One step of the ledger. `digest` is in the hexadecimal form that events carry."""

    step: int
    first_index: int
    count: int
    digest: str
    head: str


def sample_digest(index: int, epoch: int, sample: int, tokens: NDArray[np.integer[Any]]) -> Digest:
    """The digest of the sample at global position `index`, whose window holds `tokens`, of whatever integer type."""
    place = struct.pack("<QQQQ", index, epoch, sample, len(tokens))
    content = b"paceline.sample.v1" + place + tokens.astype("<u4").tobytes()
    return np.frombuffer(hashlib.sha256(content).digest(), dtype="<u8").astype(np.uint64)


def combine(digests: Iterable[Digest]) -> Digest:
    """Their sum modulo 2**64, word by word; zeros for none."""
    total = np.zeros(WORDS, dtype=np.uint64)
    for digest in digests:
        total += digest
    return total


def as_int64(digest: Digest) -> NDArray[np.int64]:
    """The same bits as signed numbers, for collectives that know no unsigned ones. Two's complement wraps alike."""
    return digest.view(np.int64)


def from_int64(words: NDArray[np.int64]) -> Digest:
    """The inverse of `as_int64`."""
    return words.view(np.uint64)


def digest_hex(digest: Digest) -> str:
    """64 hexadecimal digits."""
    return digest.astype("<u8").tobytes().hex()


def genesis(*, dataset_sha256: str, seed: int, sequence_length: int) -> str:
    """The head before the first step: which data, cut how, in which order."""
    return hashlib.sha256(f"paceline.ledger.v1 {dataset_sha256} {seed} {sequence_length}".encode()).hexdigest()


def advance(head: str, *, step: int, first_index: int, count: int, digest: Digest) -> str:
    """The head after `step` (counted from 0) consumed samples [first_index, first_index + count)."""
    content = bytes.fromhex(head) + struct.pack("<QQQ", step, first_index, count) + digest.astype("<u8").tobytes()
    return hashlib.sha256(content).hexdigest()


def replay(dataset: TokenDataset, order: Order, *, steps: int, sequences_per_step: int) -> Iterator[LedgerEntry]:
    """The ledger of the first `steps` steps, computed from the data alone."""
    head = genesis(
        dataset_sha256=dataset.manifest.dataset_sha256, seed=order.seed, sequence_length=dataset.sequence_length
    )
    count = sequences_per_step // dataset.sequences_per_sample
    for step in range(steps):
        first = step * count
        digest = combine(
            sample_digest(index, epoch, sample, dataset.window(sample))
            for index in range(first, first + count)
            for epoch, sample in [order.at(index)]
        )
        head = advance(head, step=step, first_index=first, count=count, digest=digest)
        yield LedgerEntry(step=step, first_index=first, count=count, digest=digest_hex(digest), head=head)
