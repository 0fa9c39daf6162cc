"""Mixtures: exact in every cycle, every sample of a source once an epoch, any position at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.data.corpus import Document
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.mixture import MixtureOrder, Source, order_of
from paceline.data.order import SampleOrder
from paceline.spec.errors import DataError
from paceline.spec.manifest import DatasetManifest

PARTS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=4)


def mixture(parts: list[tuple[int, int]], seed: int = 0) -> MixtureOrder:
    sources = [Source(name=f"s{n}", parts=p, num_samples=count) for n, (p, count) in enumerate(parts)]
    return MixtureOrder(seed=seed, sources=sources)


def source_of(parts: list[tuple[int, int]], sample: int) -> int:
    for number, (_, count) in enumerate(parts):
        if sample < count:
            return number
        sample -= count
    raise AssertionError


@given(PARTS, st.integers(0, 2**32), st.integers(0, 10**15))
def test_every_cycle_holds_exactly_its_parts(parts: list[tuple[int, int]], seed: int, cycle: int) -> None:
    order = mixture(parts, seed)
    length = sum(p for p, _ in parts)
    drawn = Counter(source_of(parts, order.at(cycle * length + n)[1]) for n in range(length))
    assert drawn == {n: p for n, (p, _) in enumerate(parts)}


@given(PARTS, st.integers(0, 2**32))
def test_a_source_gives_every_sample_once_before_it_begins_again(parts: list[tuple[int, int]], seed: int) -> None:
    order = mixture(parts, seed)
    length = sum(p for p, _ in parts)
    seen: dict[int, list[tuple[int, int]]] = {n: [] for n in range(len(parts))}
    for index in range(3 * length):
        epoch, sample = order.at(index)
        seen[source_of(parts, sample)].append((epoch, sample))
    for number, (_, count) in enumerate(parts):
        visits = seen[number]
        assert len(set(visits)) == len(visits)  # no sample twice in one epoch
        for epoch in range(len(visits) // count):
            assert sum(e == epoch for e, _ in visits) == count
        assert max(e for e, _ in visits) == (len(visits) - 1) // count


@given(PARTS, st.integers(0, 10**15))
def test_the_index_of_what_is_at_an_index_is_that_index(parts: list[tuple[int, int]], index: int) -> None:
    order = mixture(parts)
    assert order.index_of(*order.at(index)) == index


def test_sources_of_one_size_are_walked_in_different_orders() -> None:
    order = mixture([(1, 40), (1, 40)])
    samples = [order.at(index)[1] for index in range(80)]
    first, second = [s for s in samples if s < 40], [s - 40 for s in samples if s >= 40]
    assert sorted(first) == sorted(second) and first != second


@pytest.fixture
def mixed(documents: list[Document], prepare_into: Callable[..., DatasetManifest], tmp_path: Path) -> TokenDataset:
    parts = [replace(document, source="ab"[n % 2]) for n, document in enumerate(documents)]
    prepare_into(tmp_path / "mixed", documents=parts, mixture={"a": 1, "b": 3})
    return TokenDataset.open(tmp_path / "mixed", sequence_length=16, verify=True)


def test_a_dataset_with_a_mixture_is_walked_by_it(mixed: TokenDataset) -> None:
    windows = mixed.windows_by_source()
    assert list(windows) == ["a", "b"] and sum(windows.values()) == mixed.num_windows
    order = order_of(mixed, 7)
    assert sum(order.at(index)[1] < windows["a"] for index in range(40)) == 10


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_step_does_not_depend_on_the_world(mixed: TokenDataset, world_size: int) -> None:
    def rows(world: int) -> list[list[int]]:
        found: list[list[int]] = []
        for rank in range(world):
            with Loader(
                mixed, order_of(mixed, 7), sequences_per_step=8, rank=rank, world_size=world, micro_sequences=1
            ) as loader:
                found += [row for micro in loader.step(5).microbatches for row in micro.inputs.tolist()]
        return found

    assert rows(world_size) == rows(1)


def test_without_a_mixture_the_order_is_that_of_one_source(dataset_directory: Path) -> None:
    dataset = TokenDataset.open(dataset_directory, sequence_length=16, verify=False)
    assert order_of(dataset, 3) == SampleOrder(seed=3, num_samples=dataset.num_windows)


def test_other_weights_are_another_dataset(
    documents: list[Document], prepare_into: Callable[..., DatasetManifest], tmp_path: Path
) -> None:
    parts = [replace(document, source="ab"[n % 2]) for n, document in enumerate(documents)]
    one, other = (
        prepare_into(tmp_path / name, documents=parts, mixture={"a": 1, "b": weight})
        for name, weight in (("one", 3), ("other", 4))
    )
    assert one.shards == other.shards and one.dataset_sha256 != other.dataset_sha256


def test_a_source_without_a_window_or_a_document_is_named(
    documents: list[Document], prepare_into: Callable[..., DatasetManifest], tmp_path: Path
) -> None:
    parts = [*documents, Document(name="x", text="too short for a window", source="tiny")]
    prepare_into(tmp_path / "d", documents=parts, mixture={"": 1, "tiny": 1})
    with pytest.raises(DataError, match="of tiny no shard holds a window"):
        TokenDataset.open(tmp_path / "d", sequence_length=64, verify=False)
    with pytest.raises(DataError, match="none: no document is left"):
        prepare_into(tmp_path / "d", mixture={"": 1, "none": 1})
