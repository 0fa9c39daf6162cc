"""The loader: the same global step for every world size, read ahead, closed cleanly."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from paceline.data.index import TokenDataset
from paceline.data.ledger import combine, digest_hex, replay
from paceline.data.loader import Loader, StepBatch
from paceline.data.order import SampleOrder

SEQUENCES = 12


@pytest.fixture
def dataset(dataset_directory: Path) -> TokenDataset:
    return TokenDataset.open(dataset_directory, sequence_length=16, verify=False)


def order_of(dataset: TokenDataset) -> SampleOrder:
    return SampleOrder(seed=5, num_samples=dataset.num_windows)


def loader(
    dataset: TokenDataset, rank: int = 0, world_size: int = 1, micro_sequences: int = 1, *, witness: bool = True
) -> Loader:
    return Loader(
        dataset,
        order_of(dataset),
        sequences_per_step=SEQUENCES,
        rank=rank,
        world_size=world_size,
        micro_sequences=micro_sequences,
        witness=witness,
    )


def batches(dataset: TokenDataset, step: int, world_size: int, micro_sequences: int) -> list[StepBatch]:
    found = []
    for rank in range(world_size):
        with loader(dataset, rank, world_size, micro_sequences) as one:
            found.append(one.step(step))
    return found


@pytest.mark.parametrize(("world_size", "micro_sequences"), [(1, 12), (1, 4), (2, 3), (3, 2), (6, 1), (12, 1)])
def test_the_global_step_does_not_depend_on_the_world(
    dataset: TokenDataset, world_size: int, micro_sequences: int
) -> None:
    step = dataset.num_windows // SEQUENCES  # crosses into the second epoch
    parts = batches(dataset, step, world_size, micro_sequences)
    micros = [m for part in parts for m in part.microbatches]
    assert {m.inputs.shape for m in micros} == {m.targets.shape for m in micros} == {(micro_sequences, 16)}
    assert {m.inputs.dtype for m in micros} | {m.targets.dtype for m in micros} == {torch.int64}
    order = order_of(dataset)
    windows = [dataset.window(order.at(i)[1]) for i in range(step * SEQUENCES, (step + 1) * SEQUENCES)]
    expected = torch.from_numpy(np.stack(windows).astype(np.int64))
    assert torch.equal(torch.cat([m.inputs for m in micros]), expected[:, :-1])
    assert torch.equal(torch.cat([m.targets for m in micros]), expected[:, 1:])
    assert {(part.first_index, part.count) for part in parts} == {(step * SEQUENCES, SEQUENCES)}
    *_, entry = replay(dataset, order, steps=step + 1, sequences_per_step=SEQUENCES)
    assert digest_hex(combine([part.digest for part in parts])) == entry.digest


def test_steps_may_be_asked_in_any_order(dataset: TokenDataset) -> None:
    with loader(dataset) as one:
        found = {step: one.step(step) for step in (3, 4, 0, 1, 4)}
    for step, batch in found.items():
        (fresh,) = batches(dataset, step, 1, 1)
        assert digest_hex(batch.digest) == digest_hex(fresh.digest)


def test_reads_ahead_while_the_step_trains(dataset: TokenDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with loader(dataset) as one:
        read = one._read
        started: dict[int, threading.Event] = {n: threading.Event() for n in range(4)}

        def noted(step: int) -> StepBatch:
            started[step].set()
            return read(step)

        monkeypatch.setattr(one, "_read", noted)
        one.step(0)
        assert started[1].wait(timeout=10)
        one.step(1)
        assert started[2].wait(timeout=10)
        assert not started[3].is_set()


def test_an_error_while_reading_ahead_surfaces_in_its_step(
    dataset: TokenDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loader(dataset) as one:
        read = one._read

        def broken(step: int) -> StepBatch:
            if step == 1:
                raise OSError("the file system went away")
            return read(step)

        monkeypatch.setattr(one, "_read", broken)
        one.step(0)
        with pytest.raises(OSError, match="went away"):
            one.step(1)
        assert one.step(2).first_index == 2 * SEQUENCES


def test_who_is_no_witness_reads_the_same_and_counts_for_nothing(dataset: TokenDataset) -> None:
    with loader(dataset) as one, loader(dataset, witness=False) as other:
        counted, not_counted = one.step(1), other.step(1)
    assert torch.equal(counted.microbatches[0].inputs, not_counted.microbatches[0].inputs)
    assert counted.digest.any() and not not_counted.digest.any()


def test_closing_ends_the_thread(dataset: TokenDataset) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("loader")}

    before = threads()
    one = loader(dataset)
    one.step(0)
    (mine,) = threads() - before
    one.close()
    assert not mine.is_alive()
