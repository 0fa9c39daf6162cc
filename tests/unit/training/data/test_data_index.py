"""Windows: every token predicted once, none across a shard, and damage named."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.clients.object_store import DirectoryStore
from paceline.data.index import TokenDataset
from paceline.data.manifest import read_manifest
from paceline.spec.errors import DataError
from paceline.spec.manifest import DatasetManifest, TokenShard

MANIFEST = DatasetManifest.model_construct(token_bytes=2)  # windows look at nothing else


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 12))
def test_windows_tile_each_shard(lengths: list[int], sequence_length: int) -> None:
    with TemporaryDirectory() as name:
        dataset = numbered(Path(name), lengths, sequence_length)
        check_tiling(dataset, lengths, sequence_length)


def numbered(directory: Path, lengths: list[int], sequence_length: int) -> TokenDataset:
    """Shard n holds 1000 n, 1000 n + 1, ..."""
    shards = []
    for n, length in enumerate(lengths):
        np.arange(1000 * n, 1000 * n + length, dtype="<u2").tofile(directory / f"s{n}")
        shards.append(TokenShard(name=f"s{n}", bytes=2 * length, sha256="0" * 64, tokens=length, documents=1))
    return TokenDataset(MANIFEST, directory, shards, sequence_length)


def check_tiling(dataset: TokenDataset, lengths: list[int], sequence_length: int) -> None:
    targets = [int(t) for i in range(dataset.num_windows) for t in dataset.window(i)[1:]]
    usable = [(length - 1) // sequence_length * sequence_length for length in lengths]
    assert targets == [1000 * n + t for n, count in enumerate(usable) for t in range(1, count + 1)]
    for index in range(dataset.num_windows):
        assert (np.diff(dataset.window(index).astype(int)) == 1).all()
        assert len(dataset.window(index)) == sequence_length + 1


def test_opens_what_was_prepared(dataset_directory: Path) -> None:
    dataset = TokenDataset.open(dataset_directory, sequence_length=16, verify=True)
    first = np.fromfile(dataset_directory / dataset.manifest.shards[0].name, dtype="<u2")
    assert (dataset.window(1) == first[16:33]).all()
    assert dataset.num_windows == sum((s.tokens - 1) // 16 for s in dataset.manifest.shards)
    assert not dataset.window(0).flags.writeable


def test_every_bad_shard_is_named_at_once(dataset_directory: Path) -> None:
    shards = read_manifest(DirectoryStore(dataset_directory)).shards
    (dataset_directory / shards[0].name).unlink()
    with (dataset_directory / shards[1].name).open("r+b") as file:
        file.truncate(shards[1].bytes - 2)
    with (dataset_directory / shards[2].name).open("r+b") as file:
        file.write(b"\xff\xff")
    with pytest.raises(DataError) as caught:
        TokenDataset.open(dataset_directory, sequence_length=16, verify=True)
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 3
    for shard, message, reason in zip(shards, messages, ["missing", "has", "altered"], strict=False):
        assert f"{shard.name}: {reason}" in message
    assert all(problem.hint for problem in caught.value.problems)


def test_sizes_are_checked_even_without_verify(dataset_directory: Path) -> None:
    shard = read_manifest(DirectoryStore(dataset_directory)).shards[0]
    (dataset_directory / shard.name).write_bytes(b"")
    dataset = TokenDataset.open(dataset_directory, sequence_length=16, verify=False)
    with pytest.raises(DataError, match=shard.name):
        dataset.window(0)


def test_a_sequence_longer_than_every_shard_is_refused(dataset_directory: Path) -> None:
    with pytest.raises(DataError, match=r"no shard holds a window of 100000 \+ 1 tokens"):
        TokenDataset.open(dataset_directory, sequence_length=100_000, verify=False)


def test_a_shard_that_is_cut_after_opening_is_named_when_it_is_touched(tmp_path: Path) -> None:
    dataset = numbered(tmp_path, [40, 40], 8)
    dataset.window(0)
    with (tmp_path / "s1").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(DataError, match=r"s1: has 20 bytes, its manifest says 80"):
        dataset.window(5)


def test_nothing_held_out_is_said(dataset_directory: Path) -> None:
    with pytest.raises(DataError, match="nothing is held out"):
        TokenDataset.open(dataset_directory, sequence_length=16, verify=False, held_out=True)
