"""Where the time of a simulated job goes: integer microseconds, every one in exactly one class."""

from __future__ import annotations

from collections import Counter

from paceline.spec.events import Activity

_SECOND = 1_000_000


class JobLedger:
    """Books the job's time from 0 on. `stall` is the share of running time that checkpoints take."""

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._now = 0
        self._totals: Counter[Activity] = Counter()

    def run_until(self, at: float) -> None:
        """It trained until then."""
        amount = self._advance(at)
        stalled = round(amount * self._stall / (1 + self._stall))
        self._totals[Activity.CHECKPOINT_STALL] += stalled
        self._totals[Activity.PRODUCTIVE] += amount - stalled

    def stand_until(self, at: float, activity: Activity) -> None:
        """It did not train until then, for that reason."""
        self._totals[activity] += self._advance(at)

    def lose(self, seconds: float) -> None:
        """Work of so many seconds has to be done again."""
        lost = min(round(seconds * _SECOND), self._totals[Activity.PRODUCTIVE])
        self._totals[Activity.PRODUCTIVE] -= lost
        self._totals[Activity.LOST_WORK] += lost

    def totals(self) -> dict[Activity, int]:
        """Microseconds by class, those that are not zero."""
        return {activity: amount for activity, amount in self._totals.items() if amount}

    @property
    def now(self) -> float:
        """Until when the time is booked, in seconds."""
        return self._now / _SECOND

    def _advance(self, at: float) -> int:
        amount = max(0, round(at * _SECOND) - self._now)
        self._now += amount
        return amount
