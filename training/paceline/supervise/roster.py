"""Who reports to the coordinator, since when, and the way to answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from paceline.journal.writer import Journal
from paceline.spec.events import MembershipChanged
from paceline.spec.job import Timeouts
from paceline.supervise.membership import NodeView
from paceline.supervise.protocol import Assignment, Directive, NodeStatus


class Wire(Protocol):
    """The half of a connection that leads to a node; asyncio.StreamWriter is one."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...

    async def drain(self) -> None: ...


@dataclass
class _Node:
    """What is known of one node. `closed` is when its connection ended, `failed` when its workers were first heard to
    have failed, `told` what it was told on the present connection; `former` are those that it has left."""

    status: NodeStatus
    heard: float
    wire: Wire | None
    closed: float | None = None
    failed: float | None = None
    told: Directive | None = None
    standing: str = "joined"
    former: set[Wire] = field(default_factory=set)


class Roster:
    """All nodes that ever reported to this coordinator. `clock` is in seconds and never goes back."""

    def __init__(self, timeouts: Timeouts, journal: Journal, clock: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._journal = journal
        self._clock = clock
        self._nodes: dict[str, _Node] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def statuses(self) -> list[NodeStatus]:
        """What every node said last, those that are lost included."""
        return [node.status for node in self._nodes.values()]

    def largest_snapshot(self) -> int:
        """The bytes of the largest snapshot of one rank that any of them ever reported last; 0 without any."""
        return max((shard.bytes for status in self.statuses() for shard in status.held), default=0)

    def hear(self, status: NodeStatus, wire: Wire) -> bool:
        """A report came in on `wire`; whether it counts. What is late on a connection that its node has left, or that
        its predecessor had, says nothing any more."""
        node = self._nodes.get(status.node)
        if node is None:
            node = self._nodes[status.node] = _Node(status=status, heard=self._clock(), wire=wire)
            self._journal.emit(MembershipChanged, node=status.node, state="joined", reason="first report")
        if wire in node.former:
            return False
        if node.wire is not wire:
            node.told = None
            if node.wire is not None:
                node.former.add(node.wire)
        node.status, node.heard, node.wire, node.closed = status, self._clock(), wire, None
        if status.workers is None or status.workers.state != "failed":
            node.failed = None
        elif node.failed is None:
            node.failed = node.heard
        return True

    def hang_up(self, name: str, wire: Wire) -> bool:
        """`wire` has ended; whether it was the one that `name` is reached by, and not one that it has left."""
        node = self._nodes.get(name)
        if node is not None:
            node.former.discard(wire)
        if node is None or node.wire is not wire:
            return False
        node.wire, node.closed = None, self._clock()
        return True

    def views(self) -> dict[str, NodeView]:
        """Every node as it is to be judged now."""
        now, timeouts = self._clock(), self._timeouts
        views = {}
        for name, node in self._nodes.items():
            grace_over = node.closed is not None and now - node.closed > timeouts.disconnect_grace
            silence = now - node.heard
            views[name] = NodeView(
                status=node.status,
                present=not (grace_over or silence > timeouts.node_lost),
                suspected=node.closed is not None and not grace_over,
                lapsed=silence > timeouts.lease,
                failed_at=node.failed or 0.0,
                settled=node.failed is None or now - node.failed > timeouts.disconnect_grace,
            )
        return views

    def tell(self, name: str, directive: Directive) -> None:
        """Send `directive`, unless it is what the node was told last."""
        node = self._nodes[name]
        if node.wire is not None and not node.wire.is_closing() and node.told != directive:
            node.wire.write(directive.model_dump_json().encode() + b"\n")
            node.told = directive

    def note_standing(self, views: dict[str, NodeView], assignment: Assignment | None) -> None:
        """Journal who became a member, a spare or lost."""
        members = {m.node for m in assignment.members} if assignment else set()
        for name, view in views.items():
            node = self._nodes[name]
            if not view.present:
                standing, reason = "lost", "its connection closed" if node.closed else "it fell silent"
                if view.status.leaving and name not in members:
                    standing, reason = "left", "its capacity ended, others have taken over"
            elif assignment is None or view.suspected:
                continue  # nothing is decided about it yet
            else:
                standing, reason = ("active", "member") if name in members else ("spare", "not needed now")
            if node.standing != standing:
                node.standing = standing
                self._journal.emit(MembershipChanged, node=name, state=standing, reason=reason)

    async def dismiss(self) -> None:
        """Send everybody home and give the messages a moment to leave."""
        for name in self._nodes:
            self.tell(name, Directive(stop="leave"))
        for node in list(self._nodes.values()):  # one may still join meanwhile
            if node.wire is not None:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await asyncio.wait_for(node.wire.drain(), 1.0)
        await asyncio.sleep(0.1)
