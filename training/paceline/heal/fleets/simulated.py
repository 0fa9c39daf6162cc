"""A fleet in memory, in virtual time: what a cluster would do, as fast as one asks. For tests and the simulator.

Nothing happens by itself: `pass_time` lets what is due happen. Faults, and how tests end, come from the caller.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from paceline.heal.fleets.base import Node
from paceline.spec.healing import Answer, Case, Order
from paceline.spec.health import Action, Finding

Seconds = Callable[[], float]


class SimulatedFleet:
    """`durations` say how long each action takes, in seconds, and `test` how long a test takes and how it ends.

    `done` counts what was carried out: (action, node, machine or boot). What is asked for twice happens once.
    """

    def __init__(
        self,
        names: list[str],
        now: datetime,
        *,
        durations: dict[Action, Seconds],
        test: Callable[[Node, Order], tuple[float, Answer]],
        capabilities: frozenset[Action] = frozenset((Action.RESET_DEVICE, Action.REBOOT, Action.REPLACE)),
    ) -> None:
        self.capabilities = capabilities
        self.done: list[tuple[Action, str, str]] = []
        self.mended: Callable[[Node, Action], None] = lambda node, action: None
        self._now = now
        self._durations = durations
        self._test = test
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._orders: set[str] = set()
        self._going: set[tuple[str, str]] = set()
        self._serial = 0
        self._nodes = {name: self._fresh(name) for name in sorted(names)}

    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    def write(self, node: str, case: Case | None) -> None:
        self._change(node, case=case)

    def cordon(self, node: str, reason: str) -> None:
        self._change(node, cordoned=True)

    def drain(self, node: str) -> None:
        self._change(node, busy=False)

    def order(self, node: str, order: Order) -> None:
        if order.id in self._orders:
            return
        self._orders.add(order.id)
        if order.reset is not None:
            self.done.append((Action.RESET_DEVICE, node, order.id))
        seconds, answer = self._test(self._nodes[node], order)
        self._after(seconds, lambda: self._change(node, answer=answer))

    def reboot(self, node: Node) -> None:
        assert node.boot is not None
        if self._starts(Action.REBOOT, node.name, node.boot):
            self._change(node.name, silent_since=self._now, findings=())
            self._after(self._durations[Action.REBOOT](), lambda: self._back(node.name, Action.REBOOT))

    def replace(self, node: Node) -> None:
        assert node.machine is not None
        if self._starts(Action.REPLACE, node.name, node.machine):
            self._change(node.name, silent_since=self._now, findings=())
            self._after(self._durations[Action.REPLACE](), lambda: self._back(node.name, Action.REPLACE))

    def readmit(self, node: str) -> None:
        self._change(node, cordoned=False, untested=False, findings=())

    def resize(self, nodes: int) -> bool:
        for number in range(len(self._nodes), nodes):
            name = f"added-{number}"
            self._nodes[name] = replace(self._fresh(name), untested=True)
        return True

    def report(self, finding: Finding) -> None:
        """The agent of a node that still answers found something."""
        node = self._nodes[finding.node]
        if node.silent_since is None:
            others = tuple(f for f in node.findings if (f.check, f.fault) != (finding.check, finding.fault))
            self._change(node.name, findings=(*others, finding))

    def silence(self, name: str) -> None:
        """The node is lost: nothing is heard from it until it is booted anew."""
        if self._nodes[name].silent_since is None:
            self._change(name, silent_since=self._now)

    def occupy(self, name: str, busy: bool) -> None:
        """A job takes the node, or leaves it."""
        self._change(name, busy=busy)

    def place(self, name: str, *, leaf: str, address: str) -> None:
        """Where the node is."""
        self._change(name, leaf=leaf, address=address)

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self._now

    def wake(self, seconds: float) -> None:
        """Make something due then, so that whoever drives the fleet looks at it."""
        self._after(seconds, lambda: None)

    def next_due(self) -> datetime | None:
        """When something happens next."""
        return self._due[0][0] if self._due else None

    def pass_time(self, now: datetime) -> None:
        """Let everything happen that is due until `now`, in order."""
        while self._due and self._due[0][0] <= now:
            self._now, _, happen = heapq.heappop(self._due)
            happen()
        self._now = now

    def _starts(self, action: Action, name: str, what: str) -> bool:
        node = self._nodes[name]
        current = node.boot if action is Action.REBOOT else node.machine
        if current != what or (name, what) in self._going:
            return False
        self._going.add((name, what))
        self.done.append((action, name, what))
        return True

    def _back(self, name: str, action: Action) -> None:
        node = self._nodes[name]
        self._serial += 1
        machine = f"machine-{self._serial}" if action is Action.REPLACE else node.machine
        self._change(name, machine=machine, boot=f"boot-{self._serial}", silent_since=None, busy=False)
        self.mended(self._nodes[name], action)

    def _fresh(self, name: str) -> Node:
        self._serial += 1
        return Node(
            name=name,
            machine=f"machine-{self._serial}",
            boot=f"boot-{self._serial}",
            silent_since=None,
            cordoned=False,
            busy=False,
        )

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._due, (self._now + timedelta(seconds=seconds), self._serial, happen))

    def _change(self, name: str, **update: object) -> None:
        self._nodes[name] = replace(self._nodes[name], **update)  # type: ignore[arg-type]
