"""How this platform recovers, from the journals of runs that had faults."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from paceline.catalog.failure_rates import KINDS, Course, Kind, Recovery, Tier
from paceline.journal.goodput import ledger
from paceline.journal.history import Recovery as Recovered
from paceline.journal.timeline import SECOND
from paceline.spec.base import Record
from paceline.spec.errors import JournalError
from paceline.spec.events import Activity, AnyEvent, StepFinished

_KINDS: dict[str, Kind] = {"hang": "hang", "silent corruption": "silent"}


class Calibration(Record):
    """`recovery` as measured. `samples` counts the recoveries of each kind; what has none is taken from elsewhere."""

    recovery: Recovery
    samples: dict[Kind, int]


def calibrate(runs: Sequence[Sequence[AnyEvent]], base: Recovery, names: str) -> Calibration:
    """Detection, restart, cadence and stall of `runs` (their events in order of time). `base` gives the kinds of faults
    that did not happen, and the durable tier. Raises JournalError when no run came back from a fault.

    Only recoveries from memory count. The first new step is training, so one median step is taken off a restart. The
    cadence is a snapshot every step, which is what the trainer does.
    """
    books = [ledger(events) for events in runs]
    seconds = [event.seconds for events in runs for event in events if isinstance(event, StepFinished)]
    back = [r for book in books for r in book.history.recoveries if r.recovered and r.restored_from == "memory"]
    if not back:
        raise JournalError(
            f"{names}: no recovery to learn from: no run came back from a fault out of memory",
            "name a run in which a fault struck: `paceline chaos` and `paceline demo` make such",
        )
    step = statistics.median(seconds)
    totals = {a: sum(book.by_activity()[a] for book in books) for a in (Activity.CHECKPOINT_STALL, Activity.PRODUCTIVE)}
    stall = totals[Activity.CHECKPOINT_STALL] / totals[Activity.PRODUCTIVE]
    by_kind = {kind: [r for r in back if _KINDS.get(r.fault, "explicit") == kind] for kind in KINDS}
    courses = {kind: _course(found, step) if found else base.course(kind) for kind, found in by_kind.items()}
    recovery = Recovery(
        meaning=f"measured: {len(back)} recoveries in {names}",
        source=f"journals of {names}",
        memory=Tier(every=step, write=stall * step, load=0),
        durable=base.durable,
        **courses,
    )
    return Calibration(recovery=recovery, samples={kind: len(found) for kind, found in by_kind.items()})


def _course(recoveries: Sequence[Recovered], step: float) -> Course:
    further = [max(0, r.fault_step - (r.resumed_step or 0)) for r in recoveries]
    return Course(
        detect=tuple(round(r.detect_seconds, 3) for r in recoveries),
        restart=tuple(round(_restart(r, step), 3) for r in recoveries),
        back=round(statistics.fmean(further) * step, 3),
    )


def _restart(recovery: Recovered, step: float) -> float:
    assert recovery.recovered is not None
    return max(0.0, (recovery.recovered - recovery.detected) / SECOND - step)
