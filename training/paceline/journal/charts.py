"""The report's charts as inline SVG. Colours come from CSS classes, so that both colour schemes and paper work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from paceline.journal.activities import label
from paceline.journal.timeline import SECOND, Interval, dominant
from paceline.journal.units import duration, offset

WIDTH = 960
_LEFT, _RIGHT = 72, 8
_ROW, _GAP, _TOP = 22, 10, 22
_MOST_POINTS = 1200


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A vertical line at `at` (in the unit of the x axis) with a short text above it."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Points (x, y) in the order of x, at least one; `css` is the class that colours them."""

    name: str
    css: str
    points: tuple[tuple[float, float], ...]


def ticks(low: float, high: float, most: int) -> list[float]:
    """Up to about `most` round numbers from `low` to `high`, in steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [round(index * step, 12) for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def loss_chart(losses: Mapping[int, float], entropy: float | None, marks: Sequence[Mark]) -> str:
    """Loss (nats per token) over steps, the unigram entropy as a dashed line, faults as marks."""
    height, bottom, right = 300, 34, 64
    steps = sorted(losses)
    values = [*losses.values(), *([entropy] if entropy is not None else [])]
    margin = 0.06 * (max(values) - min(values) or 1)
    low, high = min(values) - margin, max(values) + margin
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (WIDTH - _LEFT - right)

    def y(loss: float) -> float:
        return _TOP + (high - loss) / (high - low) * (height - _TOP - bottom)

    parts = []
    for value in ticks(low, high, 5):
        parts.append(_line(_LEFT, y(value), WIDTH - right, y(value), "grid"))
        parts.append(_text(_LEFT - 10, y(value) + 4, f"{value:g}", "end"))
    for value in ticks(first, last, 10):
        parts.append(_text(x(value), height - 12, f"{value:,.0f}", "middle"))
    parts.append(_text(_LEFT - 10, height - 12, "step", "end"))
    if entropy is not None:
        parts.append(_line(_LEFT, y(entropy), WIDTH - right, y(entropy), "entropy"))
        parts.append(_text(WIDTH - right, y(entropy) - 6, f"unigram entropy {entropy:.2f}", "end"))
    parts += _marks([Mark(at=x(mark.at), text=mark.text) for mark in marks], height - bottom)
    stride = ceil(len(steps) / _MOST_POINTS)
    shown = [*steps[:-1:stride], steps[-1]]
    points = " ".join(f"{x(step):.1f},{y(losses[step]):.1f}" for step in shown)
    parts.append(f'<polyline class="loss" points="{points}"/>')
    parts.append(f'<circle class="end" cx="{x(steps[-1]):.1f}" cy="{y(losses[steps[-1]]):.1f}" r="3.5"/>')
    parts.append(_text(x(steps[-1]) + 10, y(losses[steps[-1]]) + 4, f"{losses[steps[-1]]:.2f}", "start", "strong"))
    return _svg(height, parts, f"Loss from step {first} to step {steps[-1]}")


def timeline_chart(
    intervals: Mapping[str, Sequence[Interval]],
    start: int,
    end: int,
    *,
    origin: int,
    marks: Sequence[Mark],
    grain: int,
) -> str:
    """A row per node over [start, end) microseconds; the axis counts seconds from `origin`, as do the marks.

    Columns of `grain` pixels take the colour of what fills most of them.
    """
    width = WIDTH - _LEFT - _RIGHT
    height = _TOP + len(intervals) * (_ROW + _GAP) + 22

    def x(seconds: float) -> float:
        return _LEFT + (origin + seconds * SECOND - start) / max(1, end - start) * width

    parts = []
    for row, (node, parts_of_node) in enumerate(intervals.items()):
        top = _TOP + row * (_ROW + _GAP)
        parts.append(_text(_LEFT - 10, top + _ROW / 2 + 4, node, "end", "strong"))
        for first, last, activity in dominant(parts_of_node, start, end, width // grain):
            low, high = first * grain, last * grain
            span = (end - start) * (high - low) / width / SECOND
            begin = (start + (end - start) * low / width - origin) / SECOND
            title = f"{node}: {label(activity)} for about {duration(span)} from {offset(begin)}"
            parts.append(
                f'<rect class="{activity.value}" x="{_LEFT + low}" y="{top}" width="{high - low}" height="{_ROW}">'
                f"<title>{escape(title)}</title></rect>"
            )
    values = ticks((start - origin) / SECOND, (end - origin) / SECOND, 8)
    digits = max(0, -floor(log10(values[1] - values[0]))) if len(values) > 1 else 0
    for value in values:
        parts.append(_text(x(value), height - 6, f"{value:,.{digits}f} s", "middle"))
    parts += _marks([Mark(at=x(mark.at), text=mark.text) for mark in marks], height - 22)
    return _svg(height, parts, "What each node did over time")


def curve_chart(curves: Sequence[Curve], *, x_label: str, y_label: str) -> str:
    """Curves over a common axis, each with its name at its end and a circle with its value for each point."""
    height, bottom, right = 300, 46, 96
    xs = [point[0] for curve in curves for point in curve.points]
    ys = [point[1] for curve in curves for point in curve.points]
    margin = 0.06 * (max(ys) - min(ys) or 1)
    low, high, first, last = min(ys) - margin, max(ys) + margin, min(xs), max(xs)

    def x(value: float) -> float:
        return _LEFT + (value - first) / (last - first or 1) * (WIDTH - _LEFT - right)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (height - _TOP - bottom)

    parts = [_text(_LEFT, _TOP - 8, y_label, "start"), _text(WIDTH - right, height - 8, x_label, "end")]
    for value in ticks(low, high, 5):
        parts.append(_line(_LEFT, y(value), WIDTH - right, y(value), "grid"))
        parts.append(_text(_LEFT - 10, y(value) + 4, f"{value:g}", "end"))
    parts += [_text(x(value), height - 26, f"{value:,g}", "middle") for value in ticks(first, last, 8)]
    ends: list[float] = []
    for curve in curves:
        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve.points)
        parts.append(f'<polyline class="curve {escape(curve.css)}" points="{line}"/>')
        for a, b in curve.points:
            title = escape(f"{curve.name}: {b:.4g} at {a:g}")
            parts.append(
                f'<circle class="point {escape(curve.css)}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5">'
                f"<title>{title}</title></circle>"
            )
        end = y(curve.points[-1][1])
        ends.append(end if all(abs(end - other) >= 14 for other in ends) else max(ends) + 14)
        parts.append(_text(WIDTH - right + 10, ends[-1] + 4, curve.name, "start", "strong"))
    return _svg(height, parts, f"{y_label} over {x_label}")


def share_bar(totals: Iterable[tuple[str, str, float]]) -> str:
    """One bar of (CSS class, title, share of the whole)."""
    parts, at = [], 0.0
    for name, title, part in totals:
        parts.append(
            f'<rect class="{escape(name)}" x="{at * WIDTH:.2f}" y="0" width="{part * WIDTH:.2f}" height="30">'
            f"<title>{escape(title)}</title></rect>"
        )
        at += part
    return _svg(30, parts, "Where the time went")


def _marks(marks: Sequence[Mark], bottom: float) -> list[str]:
    """A line where each mark belongs. A text gives way to the one on its left; far from its line it says nothing."""
    parts, free = [], 0.0
    for mark in marks:
        parts.append(_line(mark.at, _TOP - 4, mark.at, bottom, "mark"))
        half = 3.2 * len(mark.text) + 4
        middle = min(max(mark.at, free + half), WIDTH - half)
        if middle - half >= free and abs(middle - mark.at) <= half + 12:
            parts.append(_text(middle, _TOP - 9, mark.text, "middle", "marked"))
            free = middle + half
    return parts


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, name: str = "axis") -> str:
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
