"""The order of a mixture: exact shares, as computable at any position as the order of one dataset.

A cycle is as many samples as the mixture has parts in all. The slots of a cycle are dealt to the sources by their
parts and shuffled by a permutation of their own, so that every cycle holds exactly its parts of each source, in
another arrangement. The sources are walked each in its own order, and each begins a new epoch when it is through: a
small source with a large part is repeated, a large one with a small part is not finished.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from paceline.data.index import TokenDataset
from paceline.data.order import Order, SampleOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """`parts` of a cycle come from this source of `num_samples` samples."""

    name: str
    parts: int
    num_samples: int


class MixtureOrder:
    """The endless order over `sources`, whose samples are numbered one source after the other."""

    def __init__(self, *, seed: int, sources: Sequence[Source]) -> None:
        self.seed = seed
        self._sources = sources
        self._orders = [SampleOrder(seed=seed, num_samples=s.num_samples, stream=f"source {s.name}") for s in sources]
        self._slots_before = [0, *accumulate(source.parts for source in sources)]
        self._samples_before = [0, *accumulate(source.num_samples for source in sources)]
        self._cycle = SampleOrder(seed=seed, num_samples=self._slots_before[-1], stream="mixture")

    @property
    def num_samples(self) -> int:
        """Of all sources together."""
        return self._samples_before[-1]

    def at(self, index: int) -> tuple[int, int]:
        """(epoch of the source, sample) at global position `index` >= 0."""
        cycle, slot = self._cycle.at(index)
        number = bisect_right(self._slots_before, slot) - 1
        position = cycle * self._sources[number].parts + slot - self._slots_before[number]
        epoch, sample = self._orders[number].at(position)
        return epoch, self._samples_before[number] + sample

    def index_of(self, epoch: int, sample: int) -> int:
        """The one global position at which its source, in `epoch`, visits `sample`: the inverse of `at`."""
        number = bisect_right(self._samples_before, sample) - 1
        position = self._orders[number].index_of(epoch, sample - self._samples_before[number])
        cycle, slot = divmod(position, self._sources[number].parts)
        return self._cycle.index_of(cycle, self._slots_before[number] + slot)


def order_of(dataset: TokenDataset, seed: int) -> Order:
    """The order in which a run with `seed` walks through `dataset`."""
    mixture = dataset.manifest.mixture
    if not mixture:
        return SampleOrder(seed=seed, num_samples=dataset.num_windows)
    windows = dataset.windows_by_source()
    sources = [Source(name=name, parts=mixture[name], num_samples=count) for name, count in windows.items()]
    return MixtureOrder(seed=seed, sources=sources)
