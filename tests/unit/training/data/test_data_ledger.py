"""The ledger: invariant to who consumed what, sensitive to everything else, the same for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from paceline.data.index import TokenDataset
from paceline.data.ledger import (
    Digest,
    advance,
    as_int64,
    combine,
    digest_hex,
    from_int64,
    genesis,
    replay,
    sample_digest,
)
from paceline.data.order import SampleOrder

WORDS = npst.arrays(np.uint64, 4)
TOKENS = np.arange(9, dtype=np.uint16)
GENESIS = genesis(dataset_sha256="0" * 64, seed=0, sequence_length=8)

KNOWN_DIGEST = "0d7eecafe468388cb67a5a8df90f0f786474a60866b05d207508aaca3b008830"
KNOWN_GENESIS = "408355cd018c6cd0a1a998e3da8f1782743a9a99b47b85638e456aa8c08010ef"
KNOWN_HEAD = "340410b1e7a809a4b7e43f64b50b30976f88cad792dcca3ca2110918bbd0bea3"


@given(st.lists(WORDS, min_size=1, max_size=6), st.randoms(), st.integers(1, 5))
def test_any_split_over_ranks_gives_the_same_sum(digests: list[Digest], random: object, ranks: int) -> None:
    shuffled = list(digests)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [combine(shuffled[rank::ranks]) for rank in range(ranks)]
    assert (combine(parts) == combine(digests)).all()


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_a_signed_all_reduce_gives_the_same_sum(digests: list[Digest]) -> None:
    reduced = np.sum([as_int64(d) for d in digests], axis=0, dtype=np.int64)
    expected = [sum(int(d[word]) for d in digests) % 2**64 for word in range(4)]
    assert from_int64(reduced).tolist() == expected == combine(digests).tolist()


def test_the_digest_depends_on_place_and_tokens_but_not_on_their_type() -> None:
    base = sample_digest(1, 0, 2, TOKENS)
    assert (sample_digest(1, 0, 2, TOKENS.astype(np.int64)) == base).all()
    altered = TOKENS.copy()
    altered[4] += 1
    others = [
        sample_digest(2, 0, 2, TOKENS),
        sample_digest(1, 1, 2, TOKENS),
        sample_digest(1, 0, 3, TOKENS),
        sample_digest(1, 0, 2, TOKENS[:-1]),
        sample_digest(1, 0, 2, altered),
    ]
    assert not any((other == base).any() for other in others)


def test_the_head_depends_on_all_that_came_before() -> None:
    digest = sample_digest(0, 0, 0, TOKENS)
    step = {"step": 0, "first_index": 0, "count": 4}
    heads = [
        advance(GENESIS, **step, digest=digest),
        advance(advance(GENESIS, **step, digest=digest), **step, digest=digest),
        advance(genesis(dataset_sha256="1" * 64, seed=0, sequence_length=8), **step, digest=digest),
        advance(genesis(dataset_sha256="0" * 64, seed=1, sequence_length=8), **step, digest=digest),
        advance(genesis(dataset_sha256="0" * 64, seed=0, sequence_length=9), **step, digest=digest),
        *(advance(GENESIS, **(step | {key: 7}), digest=digest) for key in step),
        advance(GENESIS, **step, digest=digest + np.uint64(1)),
    ]
    assert len(set(heads)) == len(heads)


def test_known_answers() -> None:
    """These must never change: the ledger of every recorded run depends on them."""
    digest = sample_digest(5, 1, 3, TOKENS)
    assert digest_hex(digest) == KNOWN_DIGEST
    assert GENESIS == KNOWN_GENESIS
    assert advance(GENESIS, step=0, first_index=0, count=1, digest=digest) == KNOWN_HEAD


def test_replay_walks_the_order_over_epochs(dataset_directory: Path) -> None:
    dataset = TokenDataset.open(dataset_directory, sequence_length=16, verify=False)
    order = SampleOrder(seed=3, num_samples=dataset.num_windows)
    steps = dataset.num_windows // 6 + 3
    entries = list(replay(dataset, order, steps=steps, sequences_per_step=6))
    assert [(e.step, e.first_index, e.count) for e in entries] == [(s, 6 * s, 6) for s in range(steps)]
    head = genesis(dataset_sha256=dataset.manifest.dataset_sha256, seed=3, sequence_length=16)
    for entry in entries:
        indices = range(6 * entry.step, 6 * entry.step + 6)
        digest = combine(sample_digest(i, *order.at(i), dataset.window(order.at(i)[1])) for i in indices)
        head = advance(head, step=entry.step, first_index=6 * entry.step, count=6, digest=digest)
        assert (entry.digest, entry.head) == (digest_hex(digest), head)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"sequence_length": 8}])
def test_another_seed_or_length_is_another_chain(dataset_directory: Path, changes: dict[str, int]) -> None:
    def heads(seed: int = 0, sequence_length: int = 16) -> list[str]:
        dataset = TokenDataset.open(dataset_directory, sequence_length=sequence_length, verify=False)
        order = SampleOrder(seed=seed, num_samples=dataset.num_windows)
        return [entry.head for entry in replay(dataset, order, steps=3, sequences_per_step=4)]

    assert not set(heads()) & set(heads(**changes))
