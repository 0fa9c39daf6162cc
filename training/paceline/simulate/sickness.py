"""Which simulated nodes are broken, and what their agents, or their silence, tell the healer about it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from paceline.catalog.failure_rates import Repairs
from paceline.catalog.faults import faults
from paceline.heal.case import UNREACHABLE
from paceline.heal.fleets.base import Node
from paceline.heal.fleets.simulated import SimulatedFleet
from paceline.simulate.failures import Failure, Failures
from paceline.simulate.scenario import Scenario
from paceline.spec.healing import Answer, Order
from paceline.spec.health import Action, Finding, Result


class Sickness:
    """The broken nodes of a fleet that it makes for the healer. `false_actions` took a node that had nothing."""

    def __init__(
        self,
        names: list[str],
        start: datetime,
        failures: Failures,
        scenario: Scenario,
        repairs: Repairs,
        chance: random.Random,
        unreachable_after: float,
    ) -> None:
        self.broken: dict[str, Failure] = {}
        self.false_actions = 0
        self._places = {name: place for place, name in enumerate(names)}
        self._start, self._failures, self._scenario = start, failures, scenario
        self._repairs, self._chance, self._unreachable_after = repairs, chance, unreachable_after
        self.fleet = SimulatedFleet(
            names,
            start,
            durations={
                Action.REBOOT: lambda: self._chance.uniform(*repairs.reboot),
                Action.REPLACE: lambda: self._chance.uniform(*scenario.replace),
            },
            test=self._test,
        )
        self.fleet.mended = self._mended

    def add(self, name: str) -> None:
        """A machine that joined the fleet."""
        self._places[name] = len(self._places)
        self._failures.renew(self._places[name], self._now)

    def strike(self, name: str, failure: Failure) -> None:
        """`name` fails, or is said to: the healer hears of it. What only ends the job breaks no node."""
        row = faults().get(failure.cause.fault or UNREACHABLE)
        if row is None or row.action is None or not row.action.takes_node:
            return
        if failure.real:
            self.broken[name] = failure
        if failure.cause.fault is None:
            self.fleet.silence(name)
            self.fleet.wake(self._unreachable_after)
        else:
            self.fleet.report(self._finding(name, failure, self._now))

    def repeat(self, nodes: list[Node]) -> None:
        """Agents go on saying what they see until somebody cares for the node."""
        for node in nodes:
            if node.case is None and node.findings and (failure := self.broken.get(node.name)):
                self.fleet.report(self._finding(node.name, failure, self._now))

    @property
    def _now(self) -> float:
        return (self.fleet.now - self._start).total_seconds()

    def _test(self, node: Node, order: Order) -> tuple[float, Answer]:
        if order.reset is not None or order.rung is None:
            self._mended(node, Action.RESET_DEVICE)
            return self._chance.uniform(*self._repairs.reboot), Answer(id=order.id, result=Result.PASS)
        failure, seconds = self.broken.get(node.name), self._scenario.test_seconds
        if failure is None:
            return seconds, Answer(id=order.id, result=Result.PASS)
        found = self._finding(node.name, failure, self._now + seconds)
        return seconds, Answer(id=order.id, result=Result.FAIL, findings=(found,))

    def _mended(self, node: Node, action: Action) -> None:
        failure = self.broken.get(node.name)
        if failure is None:
            self.false_actions += 1
        elif failure.transient or action is Action.REPLACE:
            del self.broken[node.name]
        if action is Action.REPLACE:
            self._failures.renew(self._places[node.name], self._now)

    def _finding(self, name: str, failure: Failure, at: float) -> Finding:
        return Finding(
            node=name,
            check="simulated",
            result=Result.FAIL,
            time=self._start + timedelta(seconds=at),
            fault=failure.cause.fault or UNREACHABLE,
        )
