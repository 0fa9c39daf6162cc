"""What pencil and paper say about goodput, beside a simulation. Times are in seconds, rates per second."""

from __future__ import annotations

import math
from statistics import fmean

from paceline.catalog.failure_rates import FailureRates
from paceline.simulate.scenario import Scenario

_NODE_DAYS = 1000 * 86400.0


def young_daly(write: float, failures_per_second: float) -> float:
    """The interval of checkpoints that loses least: sqrt(2 w / rate), w the time that one blocks (Young 1974, Daly
    2006)."""
    return math.sqrt(2 * write / failures_per_second)


def meta_ettr(failures_per_second: float, restart: float, interval: float, write: float) -> float:
    """Expected effective training time ratio (arXiv:2410.21680): (1 - rate (u0 + dt / 2)) / (1 + w / dt)."""
    return (1 - failures_per_second * (restart + interval / 2)) / (1 + write / interval)


def by_kind(scenario: Scenario, table: FailureRates) -> float:
    """Meta's formula with the cost of an interruption by its kind: (1 - rate * sum of share * cost) / (1 + stall).

    A false alarm costs what a fault does that is known at once. Nodes fail alike and independently of each other, and a
    spare is always there."""
    recovery, total = scenario.recovery, sum(row.count for row in table.classes)
    cost = sum(row.count / total * recovery.cost(row.kind) for row in table.classes)
    alarm = recovery.cost("explicit") - fmean(recovery.explicit.detect)
    per_1000_node_days = scenario.per_1000_node_days * cost + scenario.false_alarms * alarm
    return (1 - scenario.nodes * per_1000_node_days / _NODE_DAYS) / (1 + recovery.stall)
