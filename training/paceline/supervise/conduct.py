"""How nodes and workers have behaved: who is to be left out, and when restarting is no cure.

Soft state of one coordinator; its successor takes it over from the journal. `clock` is in seconds.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from paceline.spec.events import EVERYBODY, AnyEvent, FaultClassified, FaultDetected
from paceline.spec.job import FaultBudget
from paceline.supervise.membership import SILENT_CORRUPTION, Fault
from paceline.supervise.protocol import Failure

_SAME_STEP = 3
_FRAME = re.compile(r'File "(.+)", line (\d+), in (.+)')
_HINT = "this is no bad luck; see the node's workers.log, mend the cause, and start the run again: it resumes"


class Conduct:
    """The record of one run, held against its `budget`."""

    def __init__(self, budget: FaultBudget, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._offences: dict[str, deque[float]] = defaultdict(deque)
        self._errors: deque[float] = deque()
        self._at_same_step = 0
        self._convicted: set[str] = set()

    def note(self, faults: Sequence[Fault], *, progressed: bool) -> None:
        """`faults` ended a generation; `progressed`: it had finished a step."""
        now = self._clock()
        lost = any(fault.fault_class == "node_lost" for fault in faults)
        self._at_same_step = 0 if lost or progressed else self._at_same_step + 1
        if any(fault.traceback for fault in faults):
            self._errors.append(now)
        for fault in faults:
            if fault.node is not None:
                self._offend(fault.node, fault.fault_class, now)
        for times in (self._errors, *self._offences.values()):
            while times and now - times[0] > self._budget.window:
                times.popleft()

    def recall(self, told: Iterable[AnyEvent], now: datetime) -> None:
        """Take over what a predecessor `told` until `now`. How often the present step has failed it did not tell."""
        for event in told:
            then = self._clock() - max(0.0, (now - event.time).total_seconds())
            if isinstance(event, FaultDetected) and event.traceback:
                self._errors.append(then)
            elif isinstance(event, FaultClassified) and event.target != EVERYBODY:
                self._offend(event.target, event.fault_class, then)

    def _offend(self, node: str, fault_class: str, when: float) -> None:
        self._offences[node].append(when)
        if fault_class == SILENT_CORRUPTION:
            self._convicted.add(node)

    @property
    def avoid(self) -> frozenset[str]:
        """Nodes to use only when there are no others: the repeat offenders, and for good those with wrong results."""
        now = self._clock()
        recent = {n: sum(now - t <= self._budget.window for t in times) for n, times in self._offences.items()}
        repeated = {node for node, count in recent.items() if count >= self._budget.node_faults}
        return frozenset(self._convicted | repeated)

    def verdict(self, faults: Sequence[Fault]) -> Failure | None:
        """Why the run should end instead of being healed once more, if it should.

        A failure that comes back at the same step is a bug, and so is an exception that comes back all the time.
        """
        last = faults[-1]
        what = f"{last.evidence}{_origin(last.traceback)}"
        if self._at_same_step >= _SAME_STEP:
            message = f"{last.where}: failed {self._at_same_step} times at the same step: {what}"
        elif len(self._errors) >= self._budget.errors:
            often, minutes = len(self._errors), self._budget.window / 60
            message = f"{last.where}: failed {often} times within {minutes:g} minutes, the last time: {what}"
        else:
            return None
        return Failure(message=message, hint=_HINT, traceback=last.traceback)


def _origin(traceback: str | None) -> str:
    """Where an exception was raised, for the end of a message."""
    frames = _FRAME.findall(traceback or "")
    if not frames:
        return ""
    file, line, function = frames[-1]
    return f" (in {function}, {file}:{line})"
