"""No two generations may train at the same time: which may still, out of sight, and whether the next has to wait.

A generation makes a step only when all its members run it. So it is over as soon as one of them has left it: has
followed a later one, was started again, or has outlived its lease. A generation that shares a member with every one
that may still run need not wait: before it can begin, that member has left them.

A name has one supervisor at a time: whoever starts a node's supervisor has ended its predecessor. Pure, as
membership.py is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from paceline.supervise.membership import NodeView, Waiting, is_same_supervisor
from paceline.supervise.protocol import Assignment, Member, NodeStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """The generations of a run that may still train, as one coordinator knows.

    `newest` is the last one that its predecessors opened, None when there were none. What else they opened it does not
    know until a node reports a step of `newest`, or until every lease that they have given is over.
    """

    newest: int | None = None
    opened: tuple[Assignment, ...] = ()

    def open(self, assignment: Assignment) -> Self:
        """`assignment` may train from now on."""
        return replace(self, opened=(*self.opened, assignment))

    def look(self, views: Mapping[str, NodeView]) -> Self:
        """With what the nodes report: what they follow may run, and what one of them has left is over."""
        followed = (v.status.following for v in views.values())
        known = {a.generation: a for a in (*self.opened, *followed) if a is not None}
        running = tuple(a for a in known.values() if not any(_has_left(m, a, views.get(m.node)) for m in a.members))
        begun = self.newest is not None and any(_has_begun(v.status, self.newest) for v in views.values())
        return replace(self, newest=None if begun else self.newest, opened=running)

    def outlive(self, views: Mapping[str, NodeView]) -> Self:
        """When this coordinator has listened for longer than a lease: a node that it never heard has none."""
        return replace(
            self, newest=None, opened=tuple(a for a in self.opened if all(m.node in views for m in a.members))
        )

    def hinders(self, planned: Assignment) -> Waiting | None:
        """Why `planned` may not be opened yet, if it may not."""
        if self.newest is not None:
            return Waiting(reason="generations of an earlier coordinator may still train, out of sight")
        places = {_place(m) for m in planned.members}
        for other in self.opened:
            if not any(_place(m) in places for m in other.members):
                names = ", ".join(m.node for m in other.members)
                return Waiting(reason=f"generation {other.generation} may still train on {names}, out of sight")
        return None


def _place(member: Member) -> tuple[str, str, int]:
    """Which supervisor it is."""
    return member.node, member.host, member.peer_port


def _has_left(member: Member, assignment: Assignment, view: NodeView | None) -> bool:
    if view is None:
        return False
    followed = view.status.following
    later = followed is not None and followed.generation > assignment.generation
    return later or view.lapsed or not is_same_supervisor(member, view.status)


def _has_begun(status: NodeStatus, generation: int) -> bool:
    """Whether this node reports a step that `generation` has made: all its members have left earlier ones for it."""
    followed, workers = status.following, status.workers
    if followed is None or workers is None or not followed.generation == workers.generation == generation:
        return False
    return workers.step > followed.restore.step
