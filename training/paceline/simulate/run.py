"""A job and its fleet in virtual time. What is decided is decided by production code: the healer (paceline.heal) about
nodes, membership (paceline.supervise) about who takes part. Only faults, durations and the clock are made up."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import fmean

from paceline.catalog.failure_rates import failure_rates
from paceline.heal.healer import Healer
from paceline.heal.memory import Memory
from paceline.heal.policy import Policy
from paceline.simulate.failures import Failure, Failures
from paceline.simulate.job import Job
from paceline.simulate.outcome import Costs, Outcome
from paceline.simulate.scenario import Scenario
from paceline.simulate.sickness import Sickness
from paceline.simulate.store import Nowhere
from paceline.spec.events import ActionFinished, Activity
from paceline.spec.healing import Case, Phase, Rung

_START = datetime(2026, 1, 1, tzinfo=UTC)
_DAY = 86400.0
# between two rounds while incidents are open, in seconds: after one that lets an incident go on, and after another one
_SOON, _LATER = 5.0, 900.0


class Simulation:
    """One run of `scenario`. The same scenario gives the same outcome, to the bit."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        table, chance = failure_rates(), random.Random(scenario.seed)
        self._scenario = scenario
        self._names = [f"node-{number:05}" for number in range(scenario.nodes + scenario.spares)]
        domains = {name: f"switch-{place // table.correlated.nodes}" for place, name in enumerate(self._names)}
        self._failures = Failures(len(self._names), scenario, table, chance)
        self._sickness = Sickness(
            self._names, _START, self._failures, scenario, table.repairs, chance, policy.unreachable_after
        )
        self._fleet = self._sickness.fleet
        store = Nowhere()
        memory = Memory(store, _START)
        self._healer = Healer(self._fleet, policy=policy, memory=memory, store=store, tell=self._hear)
        self._job = Job(domains, scenario, chance)
        for name in self._job.members:
            self._fleet.occupy(name, True)
        self._next_round, self._held = math.inf, 0
        self._cases: list[Case] = []
        self._out, self._most_out, self._out_seconds, self._seen = 0, 0, 0.0, 0.0
        self._repairs: list[float] = []

    def run(self) -> Outcome:
        """Until the end of the scenario."""
        began, end = time.monotonic(), self._scenario.days * _DAY
        while (failure := self._failures.next()).at < end:
            self._heal_until(failure.at)
            self._strike(failure)
        self._heal_until(end)
        self._count_out(end)
        self._job.end(end)
        totals = self._job.ledger.totals()
        productive = totals.get(Activity.PRODUCTIVE, 0)
        return Outcome(
            goodput=productive / sum(totals.values()),
            ledger=totals,
            interruptions=self._job.interruptions.total(),
            by_cause=dict(self._job.interruptions),
            detect_seconds=self._job.detect_seconds,
            recovery_seconds=self._job.recovery_seconds,
            repair_seconds=fmean(self._repairs) if self._repairs else None,
            actions=dict(Counter(action.name.lower() for action, *_ in self._fleet.done)),
            false_actions=self._sickness.false_actions,
            most_out=self._most_out,
            mean_out=self._out_seconds / end,
            isolated=sum(1 for case in self._cases if case.phase is Phase.ISOLATED),
            waited_seconds=totals.get(Activity.DOWN, 0) / 1e6,
            costs=self._costs(productive / 1e6, end),
            simulated_seconds=end,
            wall_seconds=time.monotonic() - began,
        )

    def _strike(self, failure: Failure) -> None:
        """Nodes fail. One that is broken or in the healer's hands already cannot break again."""
        names = [self._names[place] for place in failure.places if self._names[place] not in self._sickness.broken]
        lost = [] if self._job.waiting else [name for name in names if name in self._job.members]
        if lost:
            self._job.interrupt(failure.at, lost, failure.cause, known=not failure.real)
        for name in names:
            self._sickness.strike(name, failure)
        self._round(failure.at)

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
        if self._held:
            self._sickness.repeat(self._fleet.nodes())
        last = self._healer.round(now)
        self._held = last.held
        nodes = self._fleet.nodes()
        for node in nodes[len(self._names) :]:
            self._add(node.name)
        cases = [node.case for node in nodes if node.case]
        self._count_out(at)
        self._out = len(cases)
        self._most_out = max(self._most_out, self._out)
        if self._job.waiting:
            away = {node.name for node in nodes if node.case or node.silent_since} | self._sickness.broken.keys()
            for name, busy in self._job.reopen(at, away, "the simulation"):
                self._fleet.occupy(name, busy)
        at_work = self._out - last.phases[Phase.ISOLATED] or self._held
        soon = cases != self._cases and any(map(_goes_on, cases))
        self._next_round = at + (_SOON if soon else _LATER) if at_work else math.inf
        self._cases = cases

    def _add(self, name: str) -> None:
        self._names.append(name)
        self._sickness.add(name)
        self._job.add(name)

    def _count_out(self, at: float) -> None:
        self._out_seconds += self._out * (at - self._seen)
        self._seen = at

    def _costs(self, productive: float, seconds: float) -> Costs | None:
        price = self._scenario.node_hour_price
        if price is None:
            return None
        whole = len(self._names) * seconds / 3600 * price
        return Costs(whole=whole, productive=self._scenario.nodes * productive / 3600 * price)

    def _hear(self, kind: type, **fields: object) -> None:
        if kind is ActionFinished and fields["outcome"] == "done":
            self._repairs.append(float(str(fields["seconds"])))


def _goes_on(case: Case) -> bool:
    """Whether the next round may take the incident further though nothing happens on its node: the job has left it, or
    partners of a test have become free."""
    alone = case.phase is Phase.TESTING and case.rung is not Rung.SINGLE and not case.peers
    return case.phase is Phase.DRAINING or alone
