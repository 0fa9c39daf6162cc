"""A job and its fleet in virtual time. What is decided is decided by production code: the healer (paceline.heal) about
nodes, membership (paceline.supervise) about who takes part. Only faults, durations and the clock are made up."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from paceline.catalog.failure_rates import failure_rates
from paceline.catalog.faults import faults
from paceline.heal.case import UNREACHABLE
from paceline.heal.fleets.base import Node
from paceline.heal.fleets.simulated import SimulatedFleet
from paceline.heal.healer import Healer
from paceline.heal.memory import Memory
from paceline.heal.policy import Policy
from paceline.simulate.failures import Failure, failures
from paceline.simulate.ledger import JobLedger
from paceline.simulate.scenario import Scenario
from paceline.simulate.store import Nowhere
from paceline.spec.events import Activity
from paceline.spec.healing import Answer, Case, Order, Phase
from paceline.spec.health import Action, Finding, Result
from paceline.supervise.membership import NodeView, Waiting, plan_generation
from paceline.supervise.protocol import Assignment, NodeStatus

_START = datetime(2026, 1, 1, tzinfo=UTC)
_DAY = 86400.0
# between two rounds while incidents are open, in seconds: after one that changed something, and after one that did not
_SOON, _LATER = 5.0, 900.0
_STANDING = {"explicit": Activity.RESTART, "hang": Activity.HANG, "silent": Activity.LOCALISE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it. `ledger` is in microseconds of the job and adds up to the simulated time; `wall_seconds` is how
    long the simulation took. `false_actions` took a node that had nothing."""

    goodput: float
    ledger: dict[Activity, int]
    interruptions: int
    by_cause: dict[str, int]
    actions: dict[str, int]
    false_actions: int
    most_out: int
    isolated: int
    waited_seconds: float
    simulated_seconds: float
    wall_seconds: float


class Simulation:
    """One run of `scenario`. The same scenario gives the same outcome, to the bit."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        self._scenario = scenario
        self._policy = policy
        self._table = failure_rates()
        self._recovery = self._table.recoveries[scenario.recovery]
        self._chance = random.Random(scenario.seed)
        self._names = [f"node-{number:05}" for number in range(scenario.nodes + scenario.spares)]
        self._statuses = {name: _status(name) for name in self._names}
        self._broken: dict[str, Failure] = {}
        self._false = 0
        self._next_round = math.inf
        self._cases: list[Case] = []
        self._most_out = 0
        repairs = self._table.repairs
        self._fleet = SimulatedFleet(
            self._names,
            _START,
            durations={
                Action.REBOOT: lambda: self._chance.uniform(*repairs.reboot),
                Action.REPLACE: lambda: self._chance.uniform(*repairs.replace),
            },
            test=self._test,
        )
        self._fleet.mended = self._mended
        store = Nowhere()
        memory = Memory(store, _START)
        self._healer = Healer(self._fleet, policy=policy, memory=memory, store=store, tell=lambda kind, **fields: None)
        first = self._open(None, "the run began")
        assert isinstance(first, Assignment), "all nodes of a new fleet are ready"
        self._generation, self._waiting = first, False
        for member in first.members:
            self._fleet.occupy(member.node, True)
        self._ledger = JobLedger(self._recovery.stall)

    def run(self) -> Outcome:
        """Until the end of the scenario."""
        began, end = time.monotonic(), self._scenario.days * _DAY
        rate = self._table.rates[self._scenario.rates].per_1000_node_days
        causes: Counter[str] = Counter()
        for failure in failures(len(self._names), end, rate, self._table, self._chance):
            name = self._names[failure.place]
            self._heal_until(failure.at)
            if name in self._broken:
                continue  # it cannot break twice
            if self._strike(name, failure):
                causes[failure.cause.name] += 1
        self._heal_until(end)
        if self._waiting:
            self._ledger.stand_until(end, Activity.DOWN)
        else:
            self._ledger.run_until(end)
        totals = self._ledger.totals()
        cases = [node.case for node in self._fleet.nodes() if node.case]
        return Outcome(
            goodput=totals.get(Activity.PRODUCTIVE, 0) / sum(totals.values()),
            ledger=totals,
            interruptions=causes.total(),
            by_cause=dict(causes),
            actions=dict(Counter(action.name.lower() for action, *_ in self._fleet.done)),
            false_actions=self._false,
            most_out=self._most_out,
            isolated=sum(1 for case in cases if case.phase == "isolated"),
            waited_seconds=totals.get(Activity.DOWN, 0) / 1e6,
            simulated_seconds=end,
            wall_seconds=time.monotonic() - began,
        )

    def _strike(self, name: str, failure: Failure) -> bool:
        """`name` fails; whether that interrupts the job."""
        at, row = failure.at, faults().get(failure.cause.fault or UNREACHABLE)
        if row is not None and row.action is not None and row.action.takes_node:
            self._broken[name] = failure
        hit = not self._waiting and name in {member.node for member in self._generation.members}
        if hit:
            loss = self._recovery.loss(failure.cause.kind)
            self._ledger.run_until(at)
            self._ledger.lose(loss.lost)
            self._ledger.stand_until(at + loss.down, _STANDING[failure.cause.kind])
        self._show(name, at)
        self._round(at)
        if hit:
            self._reopen(f"{failure.cause.name} on {name}")
        return hit

    def _heal_until(self, at: float) -> None:
        """Let the fleet and the healer go on until then. Rounds in which nothing can change are left out."""
        while (due := min(self._next_round, self._next_event())) <= at:
            self._round(due)
        self._fleet.pass_time(_START + timedelta(seconds=at))

    def _next_event(self) -> float:
        due = self._fleet.next_due()
        return (due - _START).total_seconds() if due else math.inf

    def _round(self, at: float) -> None:
        now = _START + timedelta(seconds=at)
        self._fleet.pass_time(now)
        last = self._healer.round(now)
        out = sum(last.phases.values())
        self._most_out = max(self._most_out, out)
        cases = [node.case for node in self._fleet.nodes() if node.case]
        at_work = out - last.phases[Phase.ISOLATED]
        self._next_round = at + (_SOON if cases != self._cases else _LATER) if at_work else math.inf
        self._cases = cases
        if self._waiting and len(self._names) - out >= self._scenario.nodes:
            self._reopen("nodes came back")
            if not self._waiting:
                self._ledger.stand_until(at, Activity.DOWN)
                self._ledger.stand_until(at + self._recovery.explicit.down, Activity.RESTART)

    def _show(self, name: str, at: float) -> None:
        """What the node's agent, or its silence, tells the healer. A silent one is judged when it was silent long
        enough."""
        failure = self._broken.get(name)
        code = failure.cause.fault if failure else None
        if failure is not None and code is None:
            self._fleet.silence(name)
            self._fleet.wake(self._policy.unreachable_after)
        elif failure is not None:
            self._fleet.report(self._finding(name, failure, at))

    def _reopen(self, cause: str) -> None:
        opened = self._open(self._generation, cause)
        self._waiting = isinstance(opened, Waiting)
        if isinstance(opened, Assignment):
            before, after = ({member.node for member in g.members} for g in (self._generation, opened))
            for name in before ^ after:
                self._fleet.occupy(name, name in after)
            self._generation = opened

    def _open(self, previous: Assignment | None, cause: str) -> Assignment | Waiting:
        views = {
            node.name: NodeView(
                status=self._statuses[node.name],
                present=node.case is None and node.silent_since is None and node.name not in self._broken,
            )
            for node in self._fleet.nodes()
        }
        return plan_generation(
            sizes=(self._scenario.nodes,),
            workers_per_node=1,
            previous=previous,
            views=views,
            durable_step=0,
            cause=cause,
        )

    def _test(self, node: Node, order: Order) -> tuple[float, Answer]:
        if order.reset is not None or order.rung is None:
            self._mended(node, Action.RESET_DEVICE)
            return self._chance.uniform(*self._table.repairs.reboot), Answer(id=order.id, result=Result.PASS)
        failure, seconds = self._broken.get(node.name), self._scenario.test_seconds
        if failure is None:
            return seconds, Answer(id=order.id, result=Result.PASS)
        due = (self._fleet.now - _START).total_seconds() + seconds
        found = self._finding(node.name, failure, due)
        return seconds, Answer(id=order.id, result=Result.FAIL, findings=(found,))

    def _mended(self, node: Node, action: Action) -> None:
        failure = self._broken.get(node.name)
        if failure is None:
            self._false += 1
        elif failure.transient or action is Action.REPLACE:
            del self._broken[node.name]

    def _finding(self, name: str, failure: Failure, at: float) -> Finding:
        return Finding(
            node=name,
            check="simulated",
            result=Result.FAIL,
            time=_START + timedelta(seconds=at),
            fault=failure.cause.fault or UNREACHABLE,
        )


def _status(name: str) -> NodeStatus:
    """A supervisor that is ready; what it holds is not simulated, so every generation starts from the checkpoint."""
    return NodeStatus(node=name, host=name, process_group=1, peer_port=1, store_port=1, ready=True)
