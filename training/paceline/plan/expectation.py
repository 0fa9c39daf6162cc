"""What failures leave of a run: spare nodes, and goodput by Meta's formula, split by class of fault. Pure."""

from __future__ import annotations

from paceline.catalog.failure_rates import FailureRates
from paceline.plan.cadence import failures_per_second
from paceline.plan.closed_forms import by_kind, spares_for
from paceline.spec.base import Record

DAY, _ACCELERATORS_OF_A_NODE = 86400.0, 8


class Interruption(Record):
    """A class of faults: how often a day it ends a generation, and the seconds of a day that it costs."""

    name: str
    per_day: float
    lost_seconds_per_day: float


class Expectation(Record):
    """`goodput` is the share of wall clock in which steps are done that count."""

    goodput: float
    spares: int
    rates: str
    recovery: str
    interruptions: tuple[Interruption, ...]


def expectation(
    accelerators: int,
    nodes: int,
    table: FailureRates,
    *,
    rates: str,
    recovery: str,
    replace_within: float,
    confidence: float,
) -> Expectation:
    """Of a run on so many accelerators. `rates` and `recovery` are rows of the table, whose nodes have 8 accelerators;
    `replace_within` are the seconds in which a lost node is back, `confidence` the probability that spares suffice."""
    of_eight, row = accelerators / _ACCELERATORS_OF_A_NODE, table.recoveries[recovery]
    per_1000_node_days = table.rates[rates].per_1000_node_days
    all_classes = sum(each.count for each in table.classes)
    per_day = failures_per_second(accelerators, table.rates[rates]) * DAY
    interruptions = []
    for each in table.classes:
        often = per_day * each.count / all_classes
        lost = often * row.cost(each.kind)
        interruptions.append(Interruption(name=each.name, per_day=often, lost_seconds_per_day=lost))
    out = per_day / nodes * replace_within / DAY
    return Expectation(
        goodput=max(0.0, by_kind(of_eight, per_1000_node_days, row, table)),
        spares=spares_for(nodes, out, confidence),
        rates=rates,
        recovery=recovery,
        interruptions=tuple(interruptions),
    )
