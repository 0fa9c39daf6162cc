"""A sweep as a page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from paceline.journal.charts import Curve, curve_chart
from paceline.simulate.sweep import AXES, Point, points_of


def render(points: Sequence[Point], title: str) -> str:
    """A chart of goodput over each axis, the closed form beside it."""
    sections = []
    for axis in dict.fromkeys(point.axis for point in points):
        found = points_of(points, axis)
        curves = (
            Curve(name="simulated", css="simulated", points=tuple((p.value, 100 * p.goodput) for p in found)),
            Curve(
                name="closed form", css="formula", points=tuple((p.value, 100 * p.goodput_closed_form) for p in found)
            ),
        )
        chart = curve_chart(curves, x_label=AXES[axis].label, y_label="goodput, %")
        sections.append(f"<section><h2>{escape(axis)}</h2>{chart}</section>")
    page = Template(files(__package__).joinpath("sweep.html").read_text(encoding="utf-8"))
    return page.substitute(title=escape(title), sections="\n".join(sections))
