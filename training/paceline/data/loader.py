"""The batches of one rank, step by step, the next one read while the present one trains."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from paceline.data.index import TokenDataset
from paceline.data.ledger import Digest, combine, sample_digest
from paceline.data.order import Order
from paceline.data.packing import LEARNED
from paceline.engines.base import IGNORED


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroBatch:
    """`inputs` and `targets` [sequences, sequence_length] int64; targets are the inputs one token later, or IGNORED
    where they are not learned. `documents`, of the same shape, numbers the documents of each sequence from 0; None
    when all see each other."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBatch:
    """One rank's part of one step. `first_index` and `count` are of the whole step, over all ranks; `digest` is the
    sum of the ledger digests of the samples for which this rank is the witness."""

    microbatches: list[MicroBatch]
    first_index: int
    count: int
    digest: Digest


class Loader:
    """What rank `rank` of `world_size` consumes: of the consecutive samples that hold every step's
    `sequences_per_step` sequences the rank-th equal block, cut into micro-batches of `micro_sequences`. Where there is
    CUDA the memory is pinned, so that it can be copied while the device computes. `end_of_text` is the token after
    which the next document of a sequence begins, if documents are to be told apart. Close it, or use it as a context.

    Where several processes consume the same block, one is its `witness`: the ledger counts every sample once.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        order: Order,
        *,
        sequences_per_step: int,
        rank: int,
        world_size: int,
        micro_sequences: int,
        end_of_text: int | None = None,
        witness: bool = True,
    ) -> None:
        assert order.num_samples == dataset.num_windows
        assert 0 <= rank < world_size
        assert sequences_per_step % (world_size * micro_sequences) == 0
        self._dataset = dataset
        self._order = order
        self._count = sequences_per_step // dataset.sequences_per_sample
        self._block = self._count // world_size
        self._offset = rank * self._block
        self._micro = micro_sequences
        self._end_of_text = end_of_text
        self._pinned = torch.cuda.is_available()
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

    def passes_of(self, step: int, rank: int) -> list[MicroBatch]:
        """The micro-batches of the block that another rank consumes of `step`, read now."""
        first = step * self._count + rank * self._block
        samples = [self._order.at(index)[1] for index in range(first, first + self._block)]
        return self._microbatches(np.stack([self._dataset.window(sample) for sample in samples]).astype(np.int64))

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
        sample_tokens = self._dataset.sequences_per_sample * (self._dataset.sequence_length + 1)
        windows = np.empty((self._block, sample_tokens), dtype=np.int64)
        digests: list[Digest] = []
        for row, index in enumerate(range(first + self._offset, first + self._offset + self._block)):
            epoch, sample = self._order.at(index)
            windows[row] = self._dataset.window(sample)
            if self._witness:
                digests.append(sample_digest(index, epoch, sample, windows[row]))
        microbatches = self._microbatches(windows)
        return StepBatch(microbatches=microbatches, first_index=first, count=self._count, digest=combine(digests))

    def _microbatches(self, windows: npt.NDArray[np.int64]) -> list[MicroBatch]:
        sequences = torch.from_numpy(windows).view(-1, self._dataset.sequence_length + 1)
        return [self._microbatch(part) for part in torch.split(sequences, self._micro)]

    def _microbatch(self, windows: torch.Tensor) -> MicroBatch:
        inputs, targets = inputs_and_targets(windows, all_learned=self._dataset.manifest.samples is None)
        documents = None if self._end_of_text is None else documents_of(inputs, self._end_of_text)
        if not self._pinned:
            return MicroBatch(inputs=inputs, targets=targets, documents=documents)
        return MicroBatch(
            inputs=inputs.pin_memory(),
            targets=targets.pin_memory(),
            documents=None if documents is None else documents.pin_memory(),
        )


def inputs_and_targets(windows: torch.Tensor, *, all_learned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Of `windows` [sequences, sequence_length + 1] what is read and what is predicted; unless all of it is learned,
    the LEARNED bit of every token says whether it is, and the other targets are IGNORED."""
    targets = windows[:, 1:].contiguous()
    if all_learned:
        return windows[:, :-1].contiguous(), targets
    learned = (targets & LEARNED).bool()
    return windows[:, :-1] & ~LEARNED, (targets & ~LEARNED).masked_fill_(~learned, IGNORED)


def documents_of(inputs: torch.Tensor, end_of_text: int) -> torch.Tensor:
    """The number of each position's document within its sequence, counted from 0: an end of text is its document's
    last token. `inputs` [sequences, sequence_length] int64, and so is what comes back."""
    ends = (inputs == end_of_text).long()
    return ends.cumsum(dim=1) - ends
