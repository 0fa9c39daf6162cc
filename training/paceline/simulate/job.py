"""The simulated job: who takes part is decided by production membership, and its time is booked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable
from statistics import fmean

from paceline.catalog.failure_rates import FailureClass, Tier
from paceline.simulate.ledger import JobLedger
from paceline.simulate.scenario import Scenario
from paceline.spec.events import Activity
from paceline.supervise.membership import NodeView, Waiting, choose_buddies, plan_generation
from paceline.supervise.protocol import Assignment, NodeStatus

# what a job does until it is known what failed
_UNTIL_KNOWN = {"explicit": Activity.DETECT, "hang": Activity.HANG, "silent": Activity.LOCALISE}


class Job:
    """A job on the first `scenario.nodes` of `names`; the others are its spares. `domains` says for each name what it
    is lost together with."""

    def __init__(self, domains: dict[str, str], scenario: Scenario, chance: random.Random) -> None:
        self.ledger = JobLedger(scenario.recovery.stall)
        self.interruptions: Counter[str] = Counter()
        self.waiting = False
        self._scenario, self._chance = scenario, chance
        self._views = {name: _view(name, domain, present=True) for name, domain in domains.items()}
        first = self._plan(None, (), "the run began")
        assert isinstance(first, Assignment), "all nodes of a new fleet are ready"
        self._generation = first
        self.members = {member.node for member in first.members}
        self._detected: list[float] = []
        self._recovered: list[float] = []
        self._struck: list[float] = []
        self._resumes = 0.0
        self._unknown = (
            0.0,
            Activity.DETECT,
        )  # until when it is not known what failed, and what the job does until then
        self._restart: list[tuple[float | None, Activity]] = []

    def add(self, name: str) -> None:
        """A node joined the fleet; nothing is known of what it is lost together with."""
        self._views[name] = _view(name, None, present=True)

    def interrupt(self, at: float, lost: Collection[str], cause: FailureClass, *, known: bool) -> None:
        """Members fail. `known`: a check says so, and nobody has to find out."""
        recovery = self._scenario.recovery
        course = recovery.course(cause.kind)
        detect = 0.0 if known else self._chance.choice(course.detect)
        tier = self._tier(lost)
        self._settle(at)
        self.ledger.book_until(at)
        self.ledger.go_back(tier.every, course.back)
        self._unknown = at + detect, _UNTIL_KNOWN[cause.kind]
        self.ledger.stand([(detect, self._unknown[1]), (None, Activity.DOWN)])
        self._restart = [(self._chance.choice(course.restart), Activity.RESTART), (tier.load, Activity.RESTORE)]
        self.interruptions[cause.name] += 1
        self._detected += [] if known else [detect]
        self._struck.append(at)
        self.waiting = True

    def reopen(self, at: float, absent: Iterable[str], cause: str) -> list[tuple[str, bool]]:
        """Try to go on without the nodes that are `absent`: who left (False) and who came (True). Nothing changes while
        there are too few."""
        opened = self._plan(self._generation, absent, cause)
        if isinstance(opened, Waiting):
            return []
        self.ledger.book_until(at)
        until, activity = self._unknown
        ahead = [(max(0.0, until - at), activity), *self._restart]
        self.ledger.stand(ahead)
        self._resumes = at + sum(seconds or 0 for seconds, _ in ahead)
        self.waiting = False
        pairs = zip(self._generation.members, opened.members, strict=True)
        changed = [(old.node, new.node) for old, new in pairs if old is not new and old.node != new.node]
        left, came = {old for old, _ in changed}, {new for _, new in changed}
        self._generation = opened
        self.members = (self.members - left) | came
        return [*((name, False) for name in sorted(left - came)), *((name, True) for name in sorted(came - left))]

    def end(self, at: float) -> None:
        """The simulation is over."""
        self._settle(at)
        self.ledger.book_until(at)

    @property
    def detect_seconds(self) -> float | None:
        """From a fault until it was known, on average; None without one."""
        return fmean(self._detected) if self._detected else None

    @property
    def recovery_seconds(self) -> float | None:
        """From a fault to the next step, on average, the wait for nodes included; None without one."""
        return fmean(self._recovered) if self._recovered else None

    def _settle(self, at: float) -> None:
        """The job trained again before `at`: so long took what had struck it."""
        if not self.waiting and self._resumes <= at:
            self._recovered += [self._resumes - struck for struck in self._struck]
            self._struck = []

    def _tier(self, lost: Collection[str]) -> Tier:
        """Where the state comes from: memory, unless a snapshot was lost with its second copy."""
        memory = self._scenario.recovery.memory
        if memory is None:
            return self._scenario.recovery.durable
        if len(lost) > 1 or len(self.members) == 1:
            buddies = choose_buddies(self._generation, self._views)
            if any(name not in buddies or buddies[name].node in lost for name in lost):
                return self._scenario.recovery.durable
        return memory

    def _plan(self, previous: Assignment | None, absent: Iterable[str], cause: str) -> Assignment | Waiting:
        away = {name: _view(name, self._views[name].status.failure_domain, present=False) for name in absent}
        return plan_generation(
            sizes=(self._scenario.nodes,),
            workers_per_node=1,
            previous=previous,
            views=self._views | away,
            durable_step=0,
            cause=cause,
        )


def _view(name: str, domain: str | None, *, present: bool) -> NodeView:
    """Of a supervisor that is ready. What it holds in memory is decided by Job._tier."""
    status = NodeStatus(
        node=name, host=name, failure_domain=domain, process_group=1, peer_port=1, store_port=1, ready=True
    )
    return NodeView(status=status, present=present)
