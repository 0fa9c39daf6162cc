"""A small dataset of real sentences in several shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.spec.manifest import DatasetManifest

WORDS = "a paceline is a row of riders who share the wind one drops out the line closes up"

PrepareInto = Callable[..., DatasetManifest]


@pytest.fixture
def documents() -> list[Document]:
    words = WORDS.split()
    lengths = [29 + n % 7 for n in range(60)]
    return [
        Document(name=f"d{n}", text=" ".join(words[n * k % len(words)] for k in range(1, length + 1)))
        for n, length in enumerate(lengths)
    ]


@pytest.fixture
def prepare_into(documents: list[Document]) -> PrepareInto:
    def call(output: Path, **changes: object) -> DatasetManifest:
        arguments: dict[str, object] = {"vocabulary": 300, "shard_tokens": 500, "seed": 0} | changes
        given = arguments.pop("documents", documents)
        return prepare(given, name="riders", source="a test", output=output, **arguments)  # type: ignore[arg-type]

    return call


@pytest.fixture
def dataset_directory(tmp_path: Path, prepare_into: PrepareInto) -> Path:
    prepare_into(tmp_path / "dataset")
    return tmp_path / "dataset"
