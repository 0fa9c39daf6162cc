"""When which nodes fail, of what: a Poisson process per node, whose rate depends on the age and the past of its
machine, with the published mix of causes."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass

from paceline.catalog.failure_rates import FailureClass, FailureRates
from paceline.simulate.scenario import Scenario

_DAY = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """`at` seconds after the start; `places` are the indexes of the nodes. Not `transient`: only another machine cures.
    Not `real`: nothing is wrong, a check is."""

    at: float
    places: tuple[int, ...]
    cause: FailureClass
    transient: bool
    real: bool = True


class Failures:
    """The failures of `nodes` machines that are new at the start, in order and without end."""

    def __init__(self, nodes: int, scenario: Scenario, table: FailureRates, chance: random.Random) -> None:
        self._scenario, self._table, self._chance = scenario, table, chance
        self._rate = scenario.per_1000_node_days / 1000 / _DAY
        self._weights = [row.count for row in table.classes]
        self._machines = [_Machine() for _ in range(nodes)]
        self._due: list[tuple[float, int, int]] = []
        for place in range(nodes):
            self._draw(place, 0.0)
        heapq.heapify(self._due)
        self._alarm = self._next_alarm(0.0)

    def next(self) -> Failure:
        """The next one."""
        while self._machines[self._due[0][1]].drawn != self._due[0][2]:
            heapq.heappop(self._due)  # of a machine that was given back
        if self._alarm < self._due[0][0]:
            at, place = self._alarm, self._chance.randrange(len(self._machines))
            self._alarm = self._next_alarm(at)
            return Failure(at=at, places=(place,), cause=self._table.false_alarms.cause, transient=True, real=False)
        at, place, _ = self._due[0]
        self._machines[place].incidents += 1
        self._draw(place, at)
        places: tuple[int, ...] = (place,)
        [cause] = self._chance.choices(self._table.classes, self._weights)
        if self._chance.random() < self._scenario.correlated:
            places, cause = self._behind_one_switch(place), self._table.correlated.cause
        return Failure(at=at, places=places, cause=cause, transient=self._chance.random() < self._table.transient_share)

    def renew(self, place: int, at: float) -> None:
        """Another machine stands there now; one more place comes into being when it is the first behind the last."""
        if place == len(self._machines):
            self._machines.append(_Machine())
        machine = self._machines[place]
        machine.since, machine.incidents = at, 0
        self._draw(place, at)

    def _draw(self, place: int, now: float) -> None:
        """When the machine fails next: its rate is higher while it is new, so the time is drawn in two parts."""
        machine, scenario = self._machines[place], self._scenario
        machine.drawn += 1
        # nothing is published about later incidents than the last one of the table
        incidents = min(machine.incidents, self._table.repeat_offenders.incidents - 1)
        rate = self._rate * scenario.repeat_factor**incidents
        spent = self._chance.expovariate(1.0)
        young = max(0.0, machine.since + scenario.infant_days * _DAY - now)
        fast = rate * scenario.infant_factor
        wait = spent / fast if spent <= young * fast else young + (spent - young * fast) / rate
        heapq.heappush(self._due, (now + wait, place, machine.drawn))

    def _next_alarm(self, now: float) -> float:
        rate = len(self._machines) * self._scenario.false_alarms / 1000 / _DAY
        return now + self._chance.expovariate(rate) if rate else math.inf

    def _behind_one_switch(self, place: int) -> tuple[int, ...]:
        size = self._table.correlated.nodes
        first = place - place % size
        return tuple(range(first, min(first + size, len(self._machines))))


@dataclass(kw_only=True, slots=True)
class _Machine:
    """`drawn` counts its draws: only the last one holds."""

    since: float = 0.0
    incidents: int = 0
    drawn: int = 0
