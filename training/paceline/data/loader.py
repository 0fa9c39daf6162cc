"""The batches of one rank, step by step, the next one read while the present one trains."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch

from paceline.data.index import TokenDataset
from paceline.data.ledger import Digest, combine, sample_digest
from paceline.data.order import SampleOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroBatch:
    """`inputs` and `targets` [sequences, sequence_length] int64; targets are the inputs one token later."""

    inputs: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBatch:
    """One rank's part of one step. `first_index` and `count` are of the whole step, over all ranks; `digest` is the
    sum of the ledger digests of the samples for which this rank is the witness."""

    microbatches: list[MicroBatch]
    first_index: int
    count: int
    digest: Digest


class Loader:
    """What rank `rank` of `world_size` consumes: of every step's `sequences_per_step` consecutive indices the
    rank-th equal block, cut into micro-batches of `micro_sequences`. Close it, or use it as a context.

    Where several processes consume the same block, one is its `witness`: the ledger counts every sample once.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        order: SampleOrder,
        *,
        sequences_per_step: int,
        rank: int,
        world_size: int,
        micro_sequences: int,
        witness: bool = True,
    ) -> None:
        assert order.num_samples == dataset.num_windows
        assert 0 <= rank < world_size
        assert sequences_per_step % (world_size * micro_sequences) == 0
        self._dataset = dataset
        self._order = order
        self._count = sequences_per_step
        self._block = sequences_per_step // world_size
        self._offset = rank * self._block
        self._micro = micro_sequences
        self._witness = witness
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader")
        self._next: tuple[int, Future[StepBatch]] | None = None

    def step(self, step: int) -> StepBatch:
        """The batch of `step` (counted from 0, any order), and begin to read the one after it. What went wrong while
        reading ahead is raised here."""
        ahead = self._next
        future = ahead[1] if ahead and ahead[0] == step else self._thread.submit(self._read, step)
        self._next = None
        batch = future.result()
        self._next = (step + 1, self._thread.submit(self._read, step + 1))
        return batch

    def close(self) -> None:
        """End the thread; what it has read ahead is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, step: int) -> StepBatch:
        first = step * self._count
        windows = np.empty((self._block, self._dataset.sequence_length + 1), dtype=np.int64)
        digests: list[Digest] = []
        for row, index in enumerate(range(first + self._offset, first + self._offset + self._block)):
            epoch, sample = self._order.at(index)
            windows[row] = self._dataset.window(sample)
            if self._witness:
                digests.append(sample_digest(index, epoch, sample, windows[row]))
        tokens = torch.from_numpy(windows)
        microbatches = [
            MicroBatch(inputs=part[:, :-1].contiguous(), targets=part[:, 1:].contiguous())
            for part in torch.split(tokens, self._micro)
        ]
        return StepBatch(microbatches=microbatches, first_index=first, count=self._count, digest=combine(digests))
