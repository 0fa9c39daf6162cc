"""Notice that a generation makes no progress. `clock` is in seconds; the verdict itself is in verdict.py.

Nothing moves when no rank has written its progress words for longer than max(`hang_floor`, 3 x the 95th percentile of
the last steps). Before the first step of a generation is done there is no such measure: then it is three times the
longest start that was seen, or `start` where none was. The factor is Unicron's rule for a hang.
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
        self._generation = -1
        self._opened = self._stepped = clock()
        self._step = -1
        self._first_step: int | None = None
        self._durations: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        self._longest_start: float | None = None

    @property
    def threshold(self) -> float:
        """How long nothing may move now, in seconds."""
        floor = self._timeouts.hang_floor
        if self._first_step is not None and self._step > self._first_step and self._durations:
            return max(floor, _FACTOR * percentile(self._durations, _PERCENTILE))
        if self._longest_start is None:
            return max(floor, self._timeouts.start)
        return max(floor, _FACTOR * self._longest_start)

    def stalled(self, generation: int, workers: Sequence[WorkersStatus]) -> float | None:
        """For how long nothing has moved, if that is longer than the threshold. `workers`: of every member."""
        now = self._clock()
        if generation != self._generation:
            self._generation, self._opened, self._first_step = generation, now, None
        if not all(w.generation == generation and w.state == "running" and w.ranks for w in workers):
            return None
        self._note_step(min(w.step for w in workers), now)
        idle = min(rank.idle_seconds for w in workers for rank in w.ranks)
        return idle if idle > self.threshold else None

    def _note_step(self, step: int, now: float) -> None:
        if self._first_step is None:
            self._first_step = self._step = step
            self._stepped = now
        elif step > self._step:
            if self._step > self._first_step:
                self._durations.append((now - self._stepped) / (step - self._step))
            else:
                self._longest_start = max(self._longest_start or 0.0, now - self._opened)
            self._step, self._stepped = step, now


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that is not below `share` of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
