from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.journal.timeline import Interval, Timeline, dominant
from paceline.spec.events import Activity

PRODUCTIVE, DOWN, UNKNOWN = Activity.PRODUCTIVE, Activity.DOWN, Activity.UNKNOWN


def test_paint_changes_names_inside_the_windows_only():
    timeline = Timeline([(0, 10), (20, 30)])
    timeline.paint(5, 25, PRODUCTIVE, "why")
    assert list(timeline) == [
        Interval(0, 5, UNKNOWN),
        Interval(5, 10, PRODUCTIVE, "why"),
        Interval(20, 25, PRODUCTIVE, "why"),
        Interval(25, 30, UNKNOWN),
    ]


def test_only_leaves_everything_else_alone():
    timeline = Timeline([(0, 10)])
    timeline.paint(0, 4, PRODUCTIVE)
    timeline.paint(2, 8, DOWN, only=PRODUCTIVE)
    assert [tuple(i) for i in timeline] == [(0, 2, PRODUCTIVE, None), (2, 4, DOWN, None), (4, 10, UNKNOWN, None)]


MOMENT = st.integers(-5, 45)


@given(st.lists(st.tuples(MOMENT, MOMENT, st.sampled_from(Activity), st.none() | st.sampled_from(Activity))))
def test_paint_is_what_painting_each_moment_would_be(strokes):
    timeline = Timeline([(0, 20), (25, 40)])
    moments = dict.fromkeys([*range(20), *range(25, 40)], UNKNOWN)
    for start, end, activity, only in strokes:
        timeline.paint(start, end, activity, only=only)
        for moment in range(start, end):
            if moment in moments and only in (None, moments[moment]):
                moments[moment] = activity
    assert {m: i.activity for i in timeline for m in range(i.start, i.end)} == moments


def test_a_column_is_named_by_what_fills_most_of_it():
    intervals = [Interval(0, 14, PRODUCTIVE), Interval(14, 17, DOWN), Interval(17, 30, PRODUCTIVE)]
    assert dominant(intervals, 0, 40, 4) == [(0, 3, PRODUCTIVE)]  # the last column is empty
    assert dominant(intervals, 0, 30, 30) == [(0, 14, PRODUCTIVE), (14, 17, DOWN), (17, 30, PRODUCTIVE)]
