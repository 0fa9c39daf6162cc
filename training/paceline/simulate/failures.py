"""When which node fails, of what: a Poisson process over all nodes, with the published mix of causes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from paceline.catalog.failure_rates import FailureClass, FailureRates

_DAY = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """`at` seconds after the start; `place` is the index of the node. Not `transient`: only another machine cures."""

    at: float
    place: int
    cause: FailureClass
    transient: bool


def failures(
    nodes: int, seconds: float, per_1000_node_days: float, table: FailureRates, chance: random.Random
) -> Iterator[Failure]:
    """All failures within `seconds`, in order. Nodes fail independently and do not wear out."""
    rate = nodes * per_1000_node_days / 1000 / _DAY
    weights = [row.count for row in table.classes]
    at = chance.expovariate(rate)
    while at < seconds:
        [cause] = chance.choices(table.classes, weights)
        yield Failure(
            at=at,
            place=chance.randrange(nodes),
            cause=cause,
            transient=chance.random() < table.transient_share,
        )
        at += chance.expovariate(rate)
