"""Prepare: same input, same hashes; what is committed can be trusted; what is not committed does not exist."""

from __future__ import annotations

import errno
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.data.corpus import Document
from paceline.data.manifest import read_manifest, sha256
from paceline.data.tokenizer import END_OF_TEXT, TextTokenizer
from paceline.spec.errors import DataError
from paceline.spec.manifest import DatasetManifest

PrepareInto = Callable[..., DatasetManifest]


def tokens(directory: Path, manifest: DatasetManifest) -> list[int]:
    return [int(t) for s in manifest.shards for t in np.fromfile(directory / s.name, dtype=f"<u{manifest.token_bytes}")]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_manifest_describes_the_files(tmp_path: Path, prepare_into: PrepareInto) -> None:
    manifest = prepare_into(tmp_path)
    assert len(manifest.shards) > 2
    for file in (manifest.tokenizer, *manifest.shards):
        content = (tmp_path / file.name).read_bytes()
        assert (len(content), sha256(content)) == (file.bytes, file.sha256)
    assert sum(s.documents for s in manifest.shards) == manifest.documents == 60
    assert sum(s.tokens for s in manifest.shards) == manifest.tokens == len(tokens(tmp_path, manifest))
    assert read_manifest(DirectoryStore(tmp_path)) == manifest


def test_every_document_is_there_once_and_shuffled(
    tmp_path: Path, prepare_into: PrepareInto, documents: list[Document]
) -> None:
    manifest = prepare_into(tmp_path)
    tokenizer = TextTokenizer.load((tmp_path / manifest.tokenizer.name).read_bytes(), "tokenizer")
    found: list[str] = []
    current: list[int] = []
    for token in tokens(tmp_path, manifest):
        if token == tokenizer.end_of_text:
            found.append(tokenizer.decode(current))
            current = []
        else:
            current.append(token)
    assert current == []
    texts = [d.text for d in documents]
    assert sorted(found) == sorted(texts)
    assert found != texts


def test_unigram_entropy_is_that_of_the_tokens(tmp_path: Path, prepare_into: PrepareInto) -> None:
    manifest = prepare_into(tmp_path)
    counts = Counter(tokens(tmp_path, manifest))
    expected = sum(-n / manifest.tokens * math.log(n / manifest.tokens) for n in counts.values())
    assert manifest.unigram_entropy == pytest.approx(expected, rel=1e-12)


def test_preparing_again_changes_nothing(tmp_path: Path, prepare_into: PrepareInto) -> None:
    manifest = prepare_into(tmp_path)
    before = contents(tmp_path)
    assert prepare_into(tmp_path) == manifest
    assert contents(tmp_path) == before


def test_the_identity_is_of_the_content(tmp_path: Path, prepare_into: PrepareInto) -> None:
    manifest = prepare_into(tmp_path / "a")
    assert prepare_into(tmp_path / "b").dataset_sha256 == manifest.dataset_sha256
    assert prepare_into(tmp_path / "c", seed=1).dataset_sha256 != manifest.dataset_sha256
    assert prepare_into(tmp_path / "d", shard_tokens=400).dataset_sha256 != manifest.dataset_sha256


def test_replacing_a_dataset_leaves_only_the_new_one(tmp_path: Path, prepare_into: PrepareInto) -> None:
    prepare_into(tmp_path)
    (tmp_path / "notes.txt").write_text("not ours")
    manifest = prepare_into(tmp_path, seed=1)
    expected = {f.name for f in (manifest.tokenizer, *manifest.shards)} | {"manifest.json", "notes.txt"}
    assert set(contents(tmp_path)) == expected


def test_a_full_disk_leaves_the_old_dataset_whole(
    tmp_path: Path, prepare_into: PrepareInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepare_into(tmp_path)
    before = contents(tmp_path)
    put = DirectoryStore.put

    def full_after_first_shard(store: DirectoryStore, key: str, content: bytes) -> None:
        if key.startswith("tokens-00001"):
            raise OSError(errno.ENOSPC, "No space left on device")
        put(store, key, content)

    monkeypatch.setattr(DirectoryStore, "put", full_after_first_shard)
    with pytest.raises(DataError, match="No space left on device"):
        prepare_into(tmp_path, seed=1)
    assert read_manifest(DirectoryStore(tmp_path)) == manifest
    assert before.items() <= contents(tmp_path).items()


def test_an_output_that_is_a_file_is_a_clear_error(tmp_path: Path, prepare_into: PrepareInto) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        prepare_into(tmp_path / "file")


def test_nothing_to_prepare_is_a_clear_error(tmp_path: Path, prepare_into: PrepareInto) -> None:
    with pytest.raises(DataError, match="holds no documents"):
        prepare_into(tmp_path, documents=[])


def test_progress_reaches_the_end_of_each_part(tmp_path: Path, prepare_into: PrepareInto) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare_into(tmp_path, progress=lambda *call: calls.append(call))
    assert {"train the tokenizer", "tokenise tokens"} == {what for what, _, _ in calls}
    assert ("tokenise tokens", 60, 60) in calls


def test_what_is_held_out_is_not_trained_on(documents: list[Document], prepare_into: Any, tmp_path: Path) -> None:
    whole = prepare_into(tmp_path / "whole")
    manifest = prepare_into(tmp_path / "part", held_out=0.1)
    assert (manifest.documents, sum(shard.documents for shard in manifest.held_out)) == (54, 6)
    assert manifest.tokens + sum(shard.tokens for shard in manifest.held_out) == whole.tokens
    tokenizer = TextTokenizer.load((tmp_path / "part" / manifest.tokenizer.name).read_bytes(), "x")

    def read(shards: Any) -> set[str]:
        ids = np.concatenate([np.fromfile(tmp_path / "part" / shard.name, dtype="<u2") for shard in shards])
        ends = np.flatnonzero(ids == manifest.end_of_text)
        return {tokenizer.decode(part.tolist()).removesuffix(END_OF_TEXT) for part in np.split(ids, ends + 1)[:-1]}

    trained, kept_back = read(manifest.shards), read(manifest.held_out)
    assert not trained & kept_back and trained | kept_back == {document.text for document in documents}
    assert manifest.held_out_bytes == sum(len(text.encode()) for text in kept_back)
    with pytest.raises(DataError, match="none is left to train on"):
        prepare_into(tmp_path / "none", documents=documents[:1], held_out=0.5)


def test_the_tokenizer_of_a_model_is_taken_as_it_is(prepare_into: Any, tmp_path: Path) -> None:
    own = TextTokenizer.train(["the tokenizer of another model"], 260)
    manifest = prepare_into(tmp_path / "d", tokenizer=own, vocabulary=320)
    assert (manifest.vocabulary, manifest.end_of_text) == (320, own.end_of_text)
    assert (tmp_path / "d" / manifest.tokenizer.name).read_bytes() == own.dump()
    with pytest.raises(DataError, match="has no token <nope>"):
        TextTokenizer.load(own.dump(), "x", "<nope>")
