"""The process around the healer: it leads or stands by, looks at the fleet every few seconds, and shows what it saw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from paceline.heal.healer import Healer, Round
from paceline.heal.lease import Lease
from paceline.heal.metrics import shown
from paceline.spec.errors import PacelineError


@dataclass(frozen=True, kw_only=True, slots=True)
class Controller:
    """`raise_healer` makes a healer that knows nothing yet: it is asked for anew whenever leadership is won, since
    another one may have acted meanwhile. `say` speaks to people, `show` takes the metrics' text."""

    team: str
    lease: Lease
    raise_healer: Callable[[], Healer]
    period: float
    now: Callable[[], datetime]
    say: Callable[[str], None]
    show: Callable[[str], None]

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then the lease is handed over. What a cluster refuses is said and tried again."""
        healer: Healer | None = None
        last: Round | None = None
        trouble = ""
        try:
            while not stop.is_set():
                try:
                    leads = self.lease.hold()
                    if leads and healer is None:
                        healer = self.raise_healer()
                        self.say("leading")
                    if not leads and healer is not None:
                        healer, last = None, None
                        self.say("standing by")
                    last = healer.round(self.now()) if healer else None
                    trouble = ""
                except PacelineError as error:
                    if str(error) != trouble:  # said once, tried on
                        trouble = str(error)
                        self.say(error.render())
                leads = healer is not None
                self.show(shown(self.team, leads=leads, last=last, at=self.now().timestamp()))
                stop.wait(self.period)
        finally:
            if healer is not None:
                self.lease.release()
