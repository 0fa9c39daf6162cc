"""The goodput ledger: every microsecond of every node of a run is booked to exactly one activity.

How time is booked, later rules over earlier ones:
1. A node does what it last said (`phase.changed`). Before it says anything it initialises as a member, is idle as a
   spare, and is unknown otherwise. In a generation that is not the first, members restart until their first step.
2. Of a productive phase, only steps count. The part after the last step and before the fault that ended the generation
   is lost work; the rest is unknown.
3. A fault's generation detects from the blow to the detection and localises until the next one opens; the lost nodes
   are down from the detection on, until they join again.
4. A restored checkpoint took its own seconds.
5. A step is waiting for data, then productive, then waiting for its snapshot; all of it is lost work if a later
   generation went back behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paceline.journal.history import Generation, History, begin_of, history
from paceline.journal.phases import paint_phases
from paceline.journal.timeline import SECOND, Interval, Timeline, microseconds
from paceline.spec.events import Activity, AnyEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Where the time of a run went. All amounts are integer microseconds of node time; they add up exactly."""

    history: History
    intervals: dict[str, tuple[Interval, ...]]

    @property
    def wall(self) -> int:
        """How long the run was running; the pause between a stop and a resume does not count."""
        return sum(window.end - window.start for window in self.history.windows)

    def since(self, start: int) -> Ledger:
        """The part from `start` on, in microseconds."""
        windows = (replace(window, start=max(window.start, start)) for window in self.history.windows)
        intervals = {
            node: tuple(part._replace(start=max(part.start, start)) for part in parts if part.end > start)
            for node, parts in self.intervals.items()
        }
        left = tuple(window for window in windows if window.start < window.end)
        return Ledger(history=replace(self.history, windows=left), intervals=intervals)

    @property
    def reserved(self) -> int:
        """What the run held: wall times all nodes, spares included."""
        return self.wall * len(self.intervals)

    @property
    def needed(self) -> int:
        """What the run needed: wall times the nodes of its world, without spares."""
        return sum((window.end - window.start) * window.started.nodes for window in self.history.windows)

    def by_activity(self, node: str | None = None) -> Counter[Activity]:
        """Totals per activity, of one node or of all."""
        totals: Counter[Activity] = Counter()
        for name, intervals in self.intervals.items():
            if node in (None, name):
                for interval in intervals:
                    totals[interval.activity] += interval.end - interval.start
        return totals

    def by_cause(self) -> dict[str, Counter[Activity]]:
        """Totals per activity of the time that has a cause, per cause."""
        totals: dict[str, Counter[Activity]] = {}
        for intervals in self.intervals.values():
            for interval in intervals:
                if interval.cause is not None:
                    totals.setdefault(interval.cause, Counter())[interval.activity] += interval.end - interval.start
        return totals

    @property
    def goodput(self) -> float:
        """Productive time over what the run needed.

        The nodes of the world count for the whole wall time, whichever node fills a place at the moment: a spare that
        takes over adds productive time, a spare that stands by costs nothing.
        """
        return self.by_activity()[Activity.PRODUCTIVE] / self.needed if self.needed else 0.0

    @property
    def goodput_reserved(self) -> float:
        """Productive time over what the run held for itself: the same with the spares' idle time as a cost. While a
        spare was lent, others had the use of it."""
        totals = self.by_activity()
        held = self.reserved - totals[Activity.LENT]
        return totals[Activity.PRODUCTIVE] / held if held else 0.0


def ledger(events: Sequence[AnyEvent]) -> Ledger:
    """Book the time of a run. `events` are in order of time; raises JournalError without a run.started."""
    past = history(events)
    timelines = {node: Timeline((w.start, w.end) for w in past.windows) for node in past.nodes}
    paint_phases(timelines, events, past)
    for generation in past.generations:
        _paint_fault(timelines, generation)
        _paint_restores(timelines, generation)
    for timeline in timelines.values():
        for window in past.windows:
            timeline.paint(window.start, window.end, Activity.UNKNOWN, "no step", only=Activity.PRODUCTIVE)
    _paint_steps(timelines, past)
    return Ledger(history=past, intervals={node: tuple(timeline) for node, timeline in timelines.items()})


def _paint_fault(timelines: dict[str, Timeline], generation: Generation) -> None:
    recovery = generation.recovery
    if recovery is None:
        return
    last = dict.fromkeys(generation.members, generation.begin)
    for step in generation.steps:
        if step.node in last and microseconds(step.time) <= recovery.blow:
            last[step.node] = max(last[step.node], microseconds(step.time))
    for node, since in last.items():
        after = Activity.DOWN if node in generation.lost else Activity.LOCALISE
        paint = timelines[node].paint
        paint(since, recovery.blow, Activity.LOST_WORK, recovery.cause, only=Activity.PRODUCTIVE)
        paint(recovery.blow, recovery.detected, Activity.DETECT, recovery.cause)
        paint(recovery.detected, generation.end, after, recovery.cause)


def _paint_restores(timelines: dict[str, Timeline], generation: Generation) -> None:
    for event in generation.restored:
        if event.node:
            end = microseconds(event.time)
            start = max(generation.begin, end - round(event.seconds * SECOND))
            timelines[event.node].paint(start, end, Activity.RESTORE, generation.cause)


def _paint_steps(timelines: dict[str, Timeline], past: History) -> None:
    floor: tuple[float, str | None] = (float("inf"), None)
    floors = []
    for generation in reversed(past.generations):
        floors.append(floor)
        floor = min(floor, (generation.opening.restore_step, generation.cause), key=lambda pair: pair[0])
    for generation, (kept, cause) in zip(past.generations, reversed(floors), strict=True):
        for step in generation.steps:
            if step.node is None:
                continue
            paint = timelines[step.node].paint
            end = microseconds(step.time)
            start = max(generation.begin, begin_of(step))
            if step.step > kept:
                paint(start, end, Activity.LOST_WORK, cause)
                continue
            ready = min(end, start + round(step.data_seconds * SECOND))
            done = max(ready, end - round(step.checkpoint_seconds * SECOND))
            paint(start, ready, Activity.DATA_STALL)
            paint(ready, done, Activity.PRODUCTIVE)
            paint(done, end, Activity.CHECKPOINT_STALL)
