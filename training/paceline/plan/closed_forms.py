"""What pencil and paper say about failures: goodput, cadence and spares. Times are in seconds, rates per second."""

from __future__ import annotations

import math
from statistics import fmean

from paceline.catalog.failure_rates import FailureRates, Recovery

_NODE_DAYS = 1000 * 86400.0


def young_daly(write: float, failures_per_second: float) -> float:
    """The interval of checkpoints that loses least: sqrt(2 w / rate), w the time that one blocks.

    J. W. Young, A first order approximation to the optimum checkpoint interval, CACM 17(9), 1974. The terms of higher
    order of J. T. Daly, FGCS 22(3), 2006, matter where w comes near the time between failures.
    """
    return math.sqrt(2 * write / failures_per_second)


def meta_ettr(failures_per_second: float, restart: float, interval: float, write: float) -> float:
    """Expected effective training time ratio (arXiv:2410.21680): (1 - rate (u0 + dt / 2)) / (1 + w / dt)."""
    return (1 - failures_per_second * (restart + interval / 2)) / (1 + write / interval)


def by_kind(
    nodes: float, per_1000_node_days: float, recovery: Recovery, table: FailureRates, *, false_alarms: float = 0.0
) -> float:
    """Meta's formula with the cost of an interruption by its kind: (1 - rate * sum of share * cost) / (1 + stall).

    `false_alarms` are healthy nodes accused per 1000 node-days: each costs what a fault does that is known at once.
    Nodes fail alike and independently of each other, and a spare is always there."""
    total = sum(row.count for row in table.classes)
    cost = sum(row.count / total * recovery.cost(row.kind) for row in table.classes)
    alarm = recovery.cost("explicit") - fmean(recovery.explicit.detect)
    lost = per_1000_node_days * cost + false_alarms * alarm
    return (1 - nodes * lost / _NODE_DAYS) / (1 + recovery.stall)


def spares_for(nodes: int, probability: float, confidence: float) -> int:
    """The smallest k with P(X <= k) >= `confidence`, X binomial(`nodes`, `probability`).

    `probability` is that of one node being out at a given time: its failure rate times the time to replace it. The rule
    is ByteRobust's (arXiv:2509.16293, section 6: the P99 of simultaneous failures).
    """
    if not 0 <= probability < 1:
        return nodes
    # the logarithm of each term, since (1 - p)^n underflows for large fleets
    odds = math.log(probability / (1 - probability)) if probability else -math.inf
    log_term, below = nodes * math.log1p(-probability), 0.0
    for k in range(nodes + 1):
        below += math.exp(log_term)
        if below >= confidence or log_term == -math.inf:
            return k
        log_term += odds + math.log((nodes - k) / (k + 1)) if k < nodes else -math.inf
    return nodes
