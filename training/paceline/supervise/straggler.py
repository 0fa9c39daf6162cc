"""Stragglers: ranks that move, but hold up all others. Pure: what each rank needed for its own work in, names out.

A rank is slow in a window of steps if its own work takes longer than that of its peers, by a third of their median, and
by more than they differ among each other (median absolute deviation, Rousseeuw and Croux, 1993); it is a straggler when
it was in several windows in a row. A third is a relative performance of 0.75, the threshold of NVIDIA's resiliency
extension. What a rank waits for others is not its own work: there the fast ones are the slow.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from paceline.supervise.protocol import Work, WorkersStatus

_LEAST_PERFORMANCE = 0.75
_DEVIATIONS = 5.0
_NORMAL = 1.4826  # median absolute deviations of a normal distribution in one standard deviation
_WINDOW_STEPS = 16
_WINDOWS = 3

Phase = Literal["data", "compute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Straggler:
    """`seconds` and `peers_seconds` (their median) are for one step in `phase`; `factor` is its own work, with this
    phase, over that of its peers; both of the last window of `steps` steps."""

    rank: int
    phase: Phase
    factor: float
    seconds: float
    peers_seconds: float
    steps: int


def slow_ranks(works: Mapping[int, Work]) -> list[Straggler]:
    """Who was slow in one window, and at what; `works` by rank."""
    found = []
    for rank, work in works.items():
        peers = [_per_step(other) for number, other in works.items() if number != rank]
        if not peers:
            continue
        whole = statistics.median(data + compute for data, compute in peers)
        phases: tuple[Phase, Phase] = ("data", "compute")
        for index, phase in enumerate(phases):
            seconds = _per_step(work)[index]
            usual = statistics.median(peer[index] for peer in peers)
            deviation = statistics.median(abs(peer[index] - usual) for peer in peers)
            excess = seconds - usual
            if excess > (1 / _LEAST_PERFORMANCE - 1) * whole and excess > _DEVIATIONS * _NORMAL * deviation:
                found.append(
                    Straggler(
                        rank=rank,
                        phase=phase,
                        factor=1 + excess / whole if whole else float(work.steps),
                        seconds=seconds,
                        peers_seconds=usual,
                        steps=work.steps,
                    )
                )
    return found


class StragglerWatch:
    """Cuts what the workers report into windows, and says once in a generation who is a straggler."""

    def __init__(self) -> None:
        self._generation = -1
        self._base: dict[int, Work] = {}
        self._windows: Counter[tuple[int, Phase]] = Counter()
        self._named: set[int] = set()

    def found(self, generation: int, workers: Sequence[WorkersStatus]) -> list[Straggler]:
        """Those that became stragglers with the window that ends now, if one does. `workers`: of every member."""
        now = {rank.rank: rank.work for w in workers if w.generation == generation for rank in w.ranks}
        if generation != self._generation or now.keys() != self._base.keys():
            self._generation, self._base, self._named = generation, now, set()
            self._windows.clear()
            return []
        window = {rank: work.since(self._base[rank]) for rank, work in now.items()}
        if not window or min(work.steps for work in window.values()) < _WINDOW_STEPS:
            return []
        self._base = now
        slow = {(s.rank, s.phase): s for s in slow_ranks(window)}
        self._windows = Counter({key: self._windows[key] + 1 for key in slow})
        lasting = [s for key, s in slow.items() if self._windows[key] >= _WINDOWS and s.rank not in self._named]
        self._named.update(s.rank for s in lasting)
        return lasting


def _per_step(work: Work) -> tuple[float, float]:
    return work.data_seconds / work.steps, work.compute_seconds / work.steps
