"""A node may train only while a coordinator hears it.

The coordinator returns the time at which a report was sent, by the node's own clock; the node's lease runs from then,
and the coordinator counts from when it heard that report, which was later. So when the coordinator takes a lease to be
over, it is, however long messages were on their way: only the rates of the two clocks must agree.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Lease:
    """One node's lease of `seconds`, held from the start: until the first generation nothing depends on it."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.now = now
        self._since = now()

    @property
    def left(self) -> float:
        """Seconds until it is over; zero or less when it is."""
        return self._since + self.seconds - self.now()

    def renew(self, sent: float) -> None:
        """The coordinator heard what this node reported at `sent`."""
        self._since = max(self._since, sent)

    async def watch(self, over: Callable[[], None]) -> None:
        """Call `over` each time the lease has run out."""
        while True:
            await asyncio.sleep(max(self.left, 0.0))
            if self.left <= 0:
                over()
                while self.left <= 0:
                    await asyncio.sleep(self.seconds / 100)
