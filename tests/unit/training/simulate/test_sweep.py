from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from paceline.catalog.failure_rates import failure_rates
from paceline.heal.policy import load_policy
from paceline.simulate.plot import render
from paceline.simulate.scenario import Scenario
from paceline.simulate.sweep import AXES, parse_sweep, sweep
from paceline.spec.errors import ParameterError

TABLE = failure_rates()
SCENARIO = Scenario(
    nodes=64,
    days=8,
    spares=2,
    per_1000_node_days=40,
    recovery=TABLE.recoveries["one-minute"],
    replace=(1200, 1800),
    seed=3,
)


def goodputs(text: str) -> list[float]:
    return [point.goodput for point in sweep(SCENARIO, load_policy(), parse_sweep(text), TABLE)]


def test_axes_and_values_are_read_in_any_order() -> None:
    assert parse_sweep("cadence=60,10,60,spares=0,4") == {"cadence": (10.0, 60.0), "spares": (0.0, 4.0)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cadense=10", "did you mean `cadence`"),
        ("10,20", "no axis is named"),
        ("cadence=ten", "'ten' is not a number of seconds"),
        ("cadence=0", "'0' is not a number of seconds"),
        ("spares=1.5", "'1.5' is not a whole number of nodes"),
        ("detection=nan", "'nan' is not a number of seconds"),
    ],
)
def test_mistakes_are_told_with_their_cure(text: str, said: str) -> None:
    with pytest.raises(ParameterError) as told:
        parse_sweep(text)
    assert said in told.value.render()


def test_spares_detection_and_replacement_pay() -> None:
    few, many = goodputs("spares=0,4")
    assert few < many
    quick, slow = goodputs("detection=1,600")
    assert slow < quick
    soon, late = goodputs("replacement=60,20000")
    assert late < soon


def test_there_is_a_best_cadence() -> None:
    """A checkpoint that blocks for 0.27 s: the least is lost somewhere between every second and every three hours."""
    often, between, seldom = goodputs("cadence=1,60,10000")
    assert between > max(often, seldom)


def test_the_page_holds_a_chart_for_each_axis_and_needs_nothing_but_itself() -> None:
    points = list(sweep(SCENARIO, load_policy(), parse_sweep("cadence=10,100,spares=0,1"), TABLE))
    page = render(points, "a <title>")
    assert "a &lt;title&gt;" in page
    assert "http" not in page
    charts = [part.partition("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]
    drawn = [ElementTree.fromstring("<svg" + chart) for chart in charts]
    assert [len(chart.findall("circle")) for chart in drawn] == [4, 4]
    assert AXES["cadence"].label in page
