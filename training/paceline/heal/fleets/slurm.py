"""A fleet of Slurm nodes. What the healer remembers is in a node's Extra, what its agent says in its Comment: each
field has one writer.

A sick node is set down at once, so that Slurm takes it from its jobs in a second or two; waiting for SlurmdTimeout and
its own checks takes 26-29 s. Jobs that Slurm requeues for it get a begin time 120 s ahead, which is taken back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from paceline.heal.fleets.base import Machines, Node
from paceline.heal.fleets.notes import parsed, read_answer, read_case, read_findings
from paceline.spec.healing import Case, Order
from paceline.spec.health import Action
from paceline.spec.names import ANNOTATION_ANSWER, ANNOTATION_CASE, ANNOTATION_FINDINGS, ANNOTATION_ORDER

_RESERVATION = "paceline-test-"
_FREE = frozenset(("IDLE", "DOWN", "FUTURE", "UNKNOWN"))
_SILENT = frozenset(("NOT_RESPONDING", "NO_RESPOND"))
_CORDONED = frozenset(("DRAIN", "DOWN", "FAIL"))
# slurmctld computes the boot time anew from the uptime in each registration: it moves by as long as that took to arrive
_SAME_BOOT_SECONDS = 30


class Slurm(Protocol):
    """Slurm's commands. All of it raises ClusterError when Slurm refuses or cannot be reached."""

    def show(self, kind: str) -> list[dict[str, Any]]:
        """`scontrol show nodes|jobs|reservations --json`: the records."""
        ...

    def update(self, **fields: str) -> None:
        """`scontrol update key=value ...`"""
        ...

    def create(self, **fields: str) -> None:
        """`scontrol create key=value ...`"""
        ...

    def delete(self, **fields: str) -> None:
        """`scontrol delete key=value`"""
        ...

    def reboot(self, node: str, reason: str) -> None:
        """`scontrol reboot ASAP nextstate=DOWN`: by the RebootProgram of the cluster."""
        ...


class SlurmFleet:
    """All nodes of a cluster. `machines` is who they are rented from, None for a cluster that stands on its own floor:
    then Slurm reboots, and nobody replaces. `test_minutes`: how long the peers of a test are kept from jobs at most."""

    def __init__(self, slurm: Slurm, *, machines: Machines | None, test_minutes: int) -> None:
        self._slurm = slurm
        self._machines = machines
        self._test_minutes = test_minutes
        self._extra: dict[str, dict[str, Any]] = {}
        self._reserved: set[str] = set()
        self.capabilities = frozenset((Action.RESET_DEVICE, Action.REBOOT)) | (
            machines.capabilities if machines else frozenset()
        )

    def nodes(self) -> list[Node]:
        self._release_requeued()
        self._reserved = {str(item["name"]) for item in self._slurm.show("reservations")}
        items = self._slurm.show("nodes")
        self._extra = {item["name"]: _json(item.get("extra")) for item in items}
        return sorted((self._node(item) for item in items), key=lambda node: node.name)

    def write(self, node: str, case: Case | None) -> None:
        self._keep(node, ANNOTATION_CASE, case.model_dump(mode="json", exclude_none=True) if case else None)
        name = _RESERVATION + node
        if name in self._reserved and not (case and case.peers):
            self._slurm.delete(ReservationName=name)
            self._reserved.discard(name)

    def cordon(self, node: str, reason: str) -> None:
        self._slurm.update(NodeName=node, State="DRAIN", Reason=f"paceline: {reason}")

    def drain(self, node: str) -> None:
        case = self._extra.get(node, {}).get(ANNOTATION_CASE) or {}
        self._slurm.update(NodeName=node, State="DOWN", Reason=f"paceline: {case.get('reason', 'repair')}")

    def order(self, node: str, order: Order) -> None:
        name = _RESERVATION + node
        if order.peers and name not in self._reserved:
            # no flag MAINT: ParallelCluster's daemon launches nodes in such reservations anew for ever (#7465)
            self._slurm.create(
                ReservationName=name,
                Nodes=",".join(order.peers),
                StartTime="now",
                Duration=str(self._test_minutes),
                Users="root",
                Flags="IGNORE_JOBS",
            )
            self._reserved.add(name)
        for name in (node, *order.peers):
            self._keep(name, ANNOTATION_ORDER, order.model_dump(mode="json", exclude_none=True))

    def reboot(self, node: Node) -> None:
        if self._machines is not None and node.machine is not None:
            self._machines.reboot(node.machine)  # also when slurmd does not answer any more
        else:
            self._slurm.reboot(node.name, "paceline: reboot")

    def replace(self, node: Node) -> None:
        assert self._machines is not None, "replace is not among the capabilities"
        self._machines.replace(node.machine or node.name)

    def readmit(self, node: str) -> None:
        self._slurm.update(NodeName=node, State="RESUME")

    def resize(self, nodes: int) -> bool:
        return self._machines.resize(nodes) if self._machines else False

    def _release_requeued(self) -> None:
        """Let jobs that Slurm requeued begin now. A begin time that a user asked for is left alone: such a job was not
        requeued."""
        for job in self._slurm.show("jobs"):
            held = job.get("state_reason") == "BeginTime" and "PENDING" in _words(job.get("job_state"))
            if held and _number(job.get("restart_cnt")):
                self._slurm.update(JobId=str(job["job_id"]), StartTime="now")

    def _keep(self, node: str, key: str, value: dict[str, Any] | None) -> None:
        extra = {**self._extra.get(node, {}), key: value}
        self._extra[node] = {k: v for k, v in extra.items() if v is not None}
        self._slurm.update(NodeName=node, Extra=json.dumps(self._extra[node], separators=(",", ":")))

    def _node(self, item: Mapping[str, Any]) -> Node:
        words = _words(item.get("state")) | _words(item.get("state_flags"))
        extra, comment = self._extra[item["name"]], _json(item.get("comment"))
        boot = _number(item.get("boot_time"))
        case = read_case(item["name"], extra.get(ANNOTATION_CASE))
        silent = bool(words & _SILENT) or ("DOWN" in words and not boot)
        return Node(
            name=item["name"],
            machine=item.get("instance_id") or None,
            boot=_boot(boot, case),
            silent_since=_time(item.get("reason_changed_at")) if silent else None,
            cordoned=bool(words & _CORDONED),
            busy=not words & _FREE,
            findings=read_findings(item["name"], comment.get(ANNOTATION_FINDINGS)),
            case=case,
            answer=read_answer(comment.get(ANNOTATION_ANSWER)),
        )


def _words(state: Any) -> frozenset[str]:
    """States as words: a string before Slurm 23.02, a list since."""
    parts = state if isinstance(state, list) else str(state or "").replace("+", ",").split(",")
    return frozenset(part.strip().upper() for part in parts)


def _number(value: Any) -> int:
    """Numbers are objects with a `number` since Slurm 23.02; 0 for what is not set."""
    return int((value.get("number") if isinstance(value, Mapping) else value) or 0)


def _boot(time: int, case: Case | None) -> str | None:
    """The name of a boot: the one that its case has written down, as long as it is that one."""
    before = case.boot if case else None
    if before is not None and before.isdecimal() and abs(time - int(before)) < _SAME_BOOT_SECONDS:
        return before
    return str(time) if time else None


def _time(value: Any) -> datetime:
    return datetime.fromtimestamp(_number(value), UTC)


def _json(text: Any) -> dict[str, Any]:
    """A field that holds our JSON; what a person wrote there is not ours and is left out."""
    value = parsed(text)
    return value if isinstance(value, dict) else {}
