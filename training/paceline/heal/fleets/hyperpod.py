"""A fleet on SageMaker HyperPod: nodes of its scheduler (Kubernetes or Slurm), machines of HyperPod.

HyperPod's own recovery must be off (NodeRecovery: None), or two healers act on the same node.
"""

from __future__ import annotations

from paceline.heal.fleets.base import Fleet, Machines, Node
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Case, Order


class HyperPodFleet:
    """The nodes of `scheduler`, rebooted and replaced by `hyperpod` (BatchReboot-, BatchReplaceClusterNodes)."""

    def __init__(self, scheduler: Fleet, hyperpod: Machines) -> None:
        self._scheduler = scheduler
        self._hyperpod = hyperpod
        self.capabilities = scheduler.capabilities | hyperpod.capabilities

    def nodes(self) -> list[Node]:
        return self._scheduler.nodes()

    def write(self, node: str, case: Case | None) -> None:
        self._scheduler.write(node, case)

    def cordon(self, node: str, reason: str) -> None:
        self._scheduler.cordon(node, reason)

    def drain(self, node: str) -> None:
        self._scheduler.drain(node)

    def order(self, node: str, order: Order) -> None:
        self._scheduler.order(node, order)

    def reboot(self, node: Node) -> None:
        self._hyperpod.reboot(_machine(node))

    def replace(self, node: Node) -> None:
        self._hyperpod.replace(_machine(node))

    def readmit(self, node: str) -> None:
        self._scheduler.readmit(node)

    def resize(self, nodes: int) -> bool:
        return self._hyperpod.resize(nodes)


def _machine(node: Node) -> str:
    if node.machine is None:
        raise ClusterError(
            f"{node.name}: HyperPod's name of it is not known", "its scheduler must tell its instance id"
        )
    return node.machine
