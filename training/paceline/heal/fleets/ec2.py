"""A fleet on EC2: nodes of its scheduler, machines of EC2, and what EC2 says about them beside what their agents say.

Status checks and scheduled events come from DescribeInstanceStatus. Both are seen from outside: a node whose host is
lost cannot report it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from paceline.catalog.checks import limit
from paceline.catalog.faults import faults
from paceline.heal.fleets.base import Fleet, Machines, Node
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Case, Order
from paceline.spec.health import Finding, Result

# the keys of DescribeInstanceStatus and the fault that each announces when it is `impaired`
_STATUS = {"SystemStatus": "system_status", "InstanceStatus": "instance_status", "AttachedEbsStatus": "ebs_status"}
# EC2 keeps an event for a week after it is over, with one of these words before its description
_OVER = ("[Completed]", "[Canceled]")
_CHECK = "ec2-status"


class Ec2(Machines, Protocol):
    """The machines of EC2."""

    def status(self, machines: Sequence[str]) -> list[dict[str, Any]]:
        """What DescribeInstanceStatus says about each of them that exists. ClusterError when EC2 refuses."""
        ...


class Ec2Fleet:
    """The nodes of `scheduler`, whose machines are `ec2`'s. EC2 is asked every `period` seconds of `clock`; when it
    refuses, that is a finding nobody acts on, and the fleet is healed by what the agents say."""

    def __init__(self, scheduler: Fleet, ec2: Ec2, *, period: float, clock: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._ec2 = ec2
        self._period = period
        self._clock = clock
        self._asked: float | None = None
        self._said: dict[str, tuple[Finding, ...]] = {}
        self.capabilities = scheduler.capabilities | ec2.capabilities

    def nodes(self) -> list[Node]:
        nodes = self._scheduler.nodes()
        if self._asked is None or self._clock() - self._asked >= self._period:
            self._asked = self._clock()
            self._said = self._ask(nodes)
        return [replace(node, findings=(*node.findings, *self._said.get(node.machine or "", ()))) for node in nodes]

    def write(self, node: str, case: Case | None) -> None:
        self._scheduler.write(node, case)

    def cordon(self, node: str, reason: str) -> None:
        self._scheduler.cordon(node, reason)

    def drain(self, node: str) -> None:
        self._scheduler.drain(node)

    def order(self, node: str, order: Order) -> None:
        self._scheduler.order(node, order)

    def reboot(self, node: Node) -> None:
        self._scheduler.reboot(node)

    def replace(self, node: Node) -> None:
        self._scheduler.replace(node)

    def readmit(self, node: str) -> None:
        self._scheduler.readmit(node)

    def resize(self, nodes: int) -> bool:
        return self._scheduler.resize(nodes)

    def _ask(self, nodes: Sequence[Node]) -> dict[str, tuple[Finding, ...]]:
        names = {node.machine: node.name for node in nodes if node.machine}
        now = datetime.now(UTC)
        try:
            items = self._ec2.status(sorted(names))
        except ClusterError as error:
            unknown = {"check": _CHECK, "result": Result.UNKNOWN, "time": now, "evidence": str(error)[:4096]}
            return {machine: (Finding(node=name, **unknown),) for machine, name in names.items()}
        return {item["InstanceId"]: tuple(read_status(names[item["InstanceId"]], item, now)) for item in items}


def read_status(node: str, item: Mapping[str, Any], now: datetime) -> list[Finding]:
    """What one item of DescribeInstanceStatus means for `node`. A status is believed when it has been impaired for as
    long as ParallelCluster waits; an event when it is not over. What cannot be read is unknown."""
    found = []
    try:
        for key, fault in _STATUS.items():
            for detail in item.get(key, {}).get("Details", []):
                since = detail.get("ImpairedSince")
                if detail.get("Status") != "failed" or since is None:
                    continue
                impaired = (now - since).total_seconds()
                if impaired >= limit("ec2_impaired_s"):
                    said = f"{key} {detail.get('Name')}: {detail['Status']} since {since:%F %T} UTC"
                    found.append(_finding(node, f"ec2.{fault}", said, now))
        for event in item.get("Events", []):
            said = str(event.get("Description", ""))
            if not said.startswith(_OVER):
                said = f"{event['Code']} {event.get('InstanceEventId', '')} not before {event.get('NotBefore')}: {said}"
                found.append(_finding(node, f"ec2.{event['Code']}", said, now))
    except (AttributeError, KeyError, TypeError, ValueError) as strange:
        said = f"{type(strange).__name__}: {strange}: {item}"[:4096]
        return [Finding(node=node, check=_CHECK, result=Result.UNKNOWN, time=now, evidence=said)]
    return found


def _finding(node: str, fault: str, evidence: str, now: datetime) -> Finding:
    if fault not in faults():
        evidence = f"{fault} is not in the catalog: {evidence}"
        return Finding(node=node, check=_CHECK, result=Result.UNKNOWN, time=now, evidence=evidence[:4096])
    return Finding(node=node, check=_CHECK, result=Result.FAIL, time=now, fault=fault, evidence=evidence[:4096])
