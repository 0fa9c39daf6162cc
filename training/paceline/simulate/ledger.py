"""Where the time of a simulated job goes: integer microseconds, every one in exactly one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from paceline.spec.events import Activity

_SECOND = 1_000_000


class JobLedger:
    """Books the job's time from 0 on: what it was told to do, and when that is over, training. `stall` is the time that
    checkpoints take per second of training."""

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._now = 0
        self._ahead: list[tuple[int | None, Activity]] = []
        self._totals: Counter[Activity] = Counter()

    def book_until(self, at: float) -> None:
        """Time passes until `at` seconds."""
        end = _microseconds(at)
        while self._ahead and self._now < end:
            until, activity = self._ahead[0]
            reached = end if until is None else min(until, end)
            self._totals[activity] += reached - self._now
            self._now = reached
            if reached == until:
                self._ahead.pop(0)
        if self._now < end:
            amount, self._now = end - self._now, end
            stalled = round(amount * self._stall / (1 + self._stall))
            self._totals[Activity.CHECKPOINT_STALL] += stalled
            self._totals[Activity.PRODUCTIVE] += amount - stalled

    def stand(self, phases: Sequence[tuple[float | None, Activity]]) -> None:
        """From now on it does not train: each activity takes so many seconds (None: until it is told otherwise). What
        it was doing instead of training is over."""
        self._ahead, at = [], self._now
        for seconds, activity in phases:
            at += _microseconds(seconds or 0)
            self._ahead.append((None if seconds is None else at, activity))
        self._ahead = [(until, activity) for until, activity in self._ahead if until is None or until > self._now]

    def go_back(self, every: float, back: float) -> None:
        """To the newest checkpoint that was at least `back` seconds of training old; there is one `every` so many."""
        progress = self._totals[Activity.PRODUCTIVE]
        old = max(0, progress - _microseconds(back))
        lost = progress - (old - old % max(1, _microseconds(every)))
        self._totals[Activity.PRODUCTIVE] -= lost
        self._totals[Activity.LOST_WORK] += lost

    def totals(self) -> dict[Activity, int]:
        """Microseconds by class, those that are not zero."""
        return {activity: amount for activity, amount in self._totals.items() if amount}


def _microseconds(seconds: float) -> int:
    return round(seconds * _SECOND)
