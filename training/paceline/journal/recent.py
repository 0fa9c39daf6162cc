"""Goodput of the last hour of a run that is still running: the ledger's own, over the newest events."""

from __future__ import annotations

from operator import attrgetter

from paceline.journal.goodput import ledger
from paceline.journal.timeline import SECOND, microseconds
from paceline.spec.events import AnyEvent, RunFinished, RunStarted, StepFinished

# the window of ByteRobust's sliding goodput
_WINDOW = 3600 * SECOND
# Booking takes about 50 us an event, measured. Once a minute, and seldomer where an hour has more than 60,000 of them:
# never above 5 % of a core.
_PERIOD = 60 * SECOND
_PERIOD_PER_EVENT = SECOND // 1000


class RecentGoodput:
    """`ratio` is productive over needed time of the hour before the newest event, 0 to 1; None in the first minute.

    Steps that ended before the hour are forgotten: no second of it is theirs.
    """

    def __init__(self) -> None:
        self.ratio: float | None = None
        self._events: list[AnyEvent] = []
        self._booked: int | None = None

    def observe(self, event: AnyEvent) -> None:
        """Take an event in; the ratio is renewed about once a minute of the run's time, and at its end."""
        self._events.append(event)
        now = microseconds(event.time)
        if self._booked is None:
            self._booked = now if isinstance(event, RunStarted) else None
        elif isinstance(event, RunFinished) or now - self._booked >= max(
            _PERIOD, len(self._events) * _PERIOD_PER_EVENT
        ):
            self._book(now)

    def _book(self, now: int) -> None:
        self._booked, since = now, now - _WINDOW
        self._events = [e for e in self._events if not isinstance(e, StepFinished) or microseconds(e.time) > since]
        # producers write side by side: what comes later may be older
        self._events.sort(key=attrgetter("time"))
        self.ratio = ledger(self._events).since(since).goodput
