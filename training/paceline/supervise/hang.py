"""Notice that a generation makes no progress. `clock` is in seconds; the verdict itself is in verdict.py.

Nothing moves when no rank has written its progress words for longer than max(`hang_floor`, 3 x the 95th percentile of
the last steps). The factor is Unicron's rule for a hang. Who has seen no step yet, because it succeeds a coordinator,
takes the mean of those that the ranks have done. Before the first step of a generation it is three times the longest
start that was heard of, or `start` where there was none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from paceline.spec.job import Timeouts
from paceline.supervise.protocol import WorkersStatus

_FACTOR = 3.0
_PERCENTILE = 0.95
_STEPS_REMEMBERED = 256


class HangWatch:
    """Looks at what the workers of all members report, and says when it is too long ago that any of them moved."""

    def __init__(self, timeouts: Timeouts, clock: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._generation = self._step = -1
        self._stepped = clock()
        self._has_begun = False  # every rank has done a step in this generation
        self._durations: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        self._mean: float | None = None
        self._longest_start: float | None = None

    @property
    def threshold(self) -> float:
        """How long nothing may move now, in seconds."""
        usual = self._longest_start
        if self._has_begun:
            usual = percentile(self._durations, _PERCENTILE) if self._durations else self._mean
        if usual is None:
            return max(self._timeouts.hang_floor, self._timeouts.start)
        return max(self._timeouts.hang_floor, _FACTOR * usual)

    def stalled(self, generation: int, workers: Sequence[WorkersStatus]) -> float | None:
        """For how long nothing has moved, if that is longer than the threshold. `workers`: of every member."""
        if not all(w.generation == generation and w.state == "running" and w.ranks for w in workers):
            return None
        self._note(generation, workers)
        idle = min(rank.idle_seconds for w in workers for rank in w.ranks)
        return idle if idle > self.threshold else None

    def _note(self, generation: int, workers: Sequence[WorkersStatus]) -> None:
        now, step = self._clock(), min(w.step for w in workers)
        same = generation == self._generation
        if same and self._has_begun and step > self._step:
            self._durations.append((now - self._stepped) / (step - self._step))
        if not same or step > self._step:
            self._generation, self._step, self._stepped = generation, step, now
        starts = [w.start_seconds for w in workers if w.start_seconds is not None]
        self._has_begun = len(starts) == len(workers)
        if self._has_begun:
            self._longest_start = max(self._longest_start or 0.0, *starts)
            done = [rank.work for w in workers for rank in w.ranks if rank.work.steps]
            self._mean = max((work.seconds / work.steps for work in done), default=None)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that is not below `share` of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
