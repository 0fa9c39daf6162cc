"""One node's time, cut into intervals that never overlap and never leave a gap. Times are integer microseconds UTC."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from paceline.spec.events import Activity

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (time - EPOCH) // timedelta(microseconds=1)


class Interval(NamedTuple):
    """What a node did in [start, end), and the fault or reason behind it, if there is one."""

    start: int
    end: int
    activity: Activity
    cause: str | None = None


class Timeline:
    """Begins as `unknown` over each of `windows`; `paint` changes what time is called, never how much of it there is.

    `windows` are (start, end) pairs in order that do not overlap: the times at which the run was running.
    """

    def __init__(self, windows: Iterable[tuple[int, int]]) -> None:
        self._intervals = [Interval(start, end, Activity.UNKNOWN) for start, end in windows if start < end]

    def __iter__(self) -> Iterator[Interval]:
        """The intervals in order, neighbours of the same activity and cause as one."""
        whole: Interval | None = None
        for part in self._intervals:
            if whole is not None and whole.end == part.start and whole[2:] == part[2:]:
                whole = whole._replace(end=part.end)
                continue
            if whole is not None:
                yield whole
            whole = part
        if whole is not None:
            yield whole

    def paint(
        self, start: int, end: int, activity: Activity, cause: str | None = None, *, only: Activity | None = None
    ) -> None:
        """Book [start, end) to `activity`; what lies outside the windows, or is not `only`, stays as it is."""
        first = max(0, bisect_right(self._intervals, start, key=lambda interval: interval.start) - 1)
        last = first
        pieces: list[Interval] = []
        while last < len(self._intervals) and self._intervals[last].start < end:
            old = self._intervals[last]
            low, high = max(start, old.start), min(end, old.end)
            if low < high and only in (None, old.activity):
                parts = (old._replace(end=low), Interval(low, high, activity, cause), old._replace(start=high))
                pieces += [part for part in parts if part.start < part.end]
            else:
                pieces.append(old)
            last += 1
        self._intervals[first:last] = pieces


def dominant(intervals: Sequence[Interval], start: int, end: int, columns: int) -> list[tuple[int, int, Activity]]:
    """[start, end) in `columns` equal columns, each named by the activity that fills most of it.

    Neighbours of one activity come as one (first column, column after the last, activity); empty columns are left out.
    """
    edges = [start + (end - start) * column // columns for column in range(columns + 1)]
    spans: list[tuple[int, int, Activity]] = []
    position = 0
    for column in range(columns):
        low, high = edges[column], edges[column + 1]
        while position < len(intervals) and intervals[position].end <= low:
            position += 1
        shares: Counter[Activity] = Counter()
        for interval in _from(intervals, position):
            if interval.start >= high:
                break
            shares[interval.activity] += min(high, interval.end) - max(low, interval.start)
        if not shares:
            continue
        activity = shares.most_common(1)[0][0]
        if spans and spans[-1][1] == column and spans[-1][2] is activity:
            spans[-1] = (spans[-1][0], column + 1, activity)
        else:
            spans.append((column, column + 1, activity))
    return spans


def _from(intervals: Sequence[Interval], position: int) -> Iterator[Interval]:
    return (intervals[index] for index in range(position, len(intervals)))
