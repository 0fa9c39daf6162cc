"""What the healer asks of a fleet. A new kind of fleet is one file beside this one and a line in registry.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from paceline.spec.healing import Answer, Case, Order
from paceline.spec.health import Action, Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A node as its fleet describes it now.

    `machine` and `boot` change when it is replaced or rebooted (None: the fleet cannot tell now). `silent_since`: the
    scheduler does not hear from it (None: it does). `cordoned`: no new work goes there. `busy`: a job runs there.
    `untested`: it joined and has not yet passed its tests. `findings` are the latest of its agent, `case` is what the
    healer wrote there, `answer` what its agent said to the last order. `address` is where others reach it (None: its
    name is one), `leaf` the switch that it hangs on (None: nobody says).
    """

    name: str
    machine: str | None
    boot: str | None
    silent_since: datetime | None
    cordoned: bool
    busy: bool
    untested: bool = False
    findings: tuple[Finding, ...] = ()
    case: Case | None = None
    answer: Answer | None = None
    address: str | None = None
    leaf: str | None = None

    @property
    def proven(self) -> bool:
        """Whether it may take part in the test of another node: healthy, idle and nobody's patient."""
        return not (self.busy or self.cordoned or self.case or self.silent_since or self.untested)


class Fleet(Protocol):
    """Every call may be made again at any time, with the same effect as once. ClusterError when the cluster refuses.

    `capabilities` are the actions that it can carry out on a node; keeping one out (isolate) is always possible.
    """

    capabilities: frozenset[Action]

    def nodes(self) -> list[Node]:
        """All nodes, in the order of their names, those that the scheduler has lost included."""
        ...

    def write(self, node: str, case: Case | None) -> None:
        """Keep `case` on the node's own object, instead of the one that is there; None takes it away."""
        ...

    def cordon(self, node: str, reason: str) -> None:
        """No new work on it. `reason` is shown to whoever looks at the node."""
        ...

    def drain(self, node: str) -> None:
        """Ask what runs there to leave. Whether it has left is seen by `Node.busy`."""
        ...

    def order(self, node: str, order: Order) -> None:
        """Hand `order` to the agent of `node`, and of its peers; it is carried out once and answered (`Node.answer`).
        What is not in `capabilities` is never asked for."""
        ...

    def reboot(self, node: Node) -> None:
        """Boot the machine anew, if it still runs the boot that `node` was seen with."""
        ...

    def replace(self, node: Node) -> None:
        """Give the machine back that `node` was seen with, and take another one."""
        ...

    def readmit(self, node: str) -> None:
        """Let work on it again, and let it count as tested."""
        ...

    def resize(self, nodes: int) -> bool:
        """Want at least `nodes` nodes; False where the size of the fleet is not ours to change."""
        ...


class Machines(Protocol):
    """Who a fleet's machines are rented from. ClusterError when it refuses or cannot be reached.

    Asking twice is harmless: a machine is known by its id, and one that was given back is gone.
    """

    capabilities: frozenset[Action]

    def reboot(self, machine: str) -> None: ...

    def replace(self, machine: str) -> None: ...

    def resize(self, nodes: int) -> bool:
        """As `Fleet.resize`."""
        ...
