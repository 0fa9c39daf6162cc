"""No two generations may train at the same time: which may still, out of sight, and whether the next has to wait.

A generation makes a step only when all its members run it. So it is over as soon as one of them has left it: has
followed a later one, was started again, or has outlived its lease. A generation that shares a member with every one
that may still run need not wait: before it can begin, that member has left them.

A name has one supervisor at a time: whoever starts a node's supervisor has ended its predecessor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from paceline.supervise.membership import NodeView, Waiting, is_same_supervisor
from paceline.supervise.protocol import Assignment, Member, NodeStatus


def not_over(opened: Sequence[Assignment], views: Mapping[str, NodeView]) -> tuple[Assignment, ...]:
    """Those of the generations `opened` that may still run: no member is known to have left."""
    return tuple(a for a in opened if not any(_has_left(m, a.generation, views.get(m.node)) for m in a.members))


def hindered(planned: Assignment, opened: Sequence[Assignment]) -> Assignment | None:
    """The first of the generations `opened` that could train beside `planned`: they have no supervisor in common."""
    places = {(m.node, m.host, m.peer_port) for m in planned.members}
    return next((a for a in opened if not any((m.node, m.host, m.peer_port) in places for m in a.members)), None)


def has_begun(status: NodeStatus, generation: int) -> bool:
    """Whether this node reports a step that `generation` has made: all its members have left earlier ones for it."""
    followed, workers = status.following, status.workers
    if followed is None or workers is None or not followed.generation == workers.generation == generation:
        return False
    return workers.step > followed.restore.step


class Fence:
    """The generations of a run that may still train, as one coordinator knows.

    `newest` is the last one that its predecessors opened, None when there were none. What they opened it does not know
    until a node reports a step of `newest`, or until every lease that they have given is over.
    """

    def __init__(self, lease: float, clock: Callable[[], float], *, newest: int | None) -> None:
        self._clock = clock
        self._newest = newest
        self._unknown_until = clock() + lease
        self._opened: tuple[Assignment, ...] = ()

    def open(self, assignment: Assignment) -> None:
        """`assignment` may train from now on."""
        self._opened = (*self._opened, assignment)

    def waits(self, planned: Assignment, views: Mapping[str, NodeView]) -> Waiting | None:
        """Why `planned` may not be opened yet, if it may not."""
        if self._newest is not None and any(has_begun(v.status, self._newest) for v in views.values()):
            self._newest = None
        self._opened = not_over(self._opened, views)
        if self._clock() > self._unknown_until:
            self._newest = None
            self._opened = tuple(a for a in self._opened if all(m.node in views for m in a.members))
        if self._newest is not None:
            return Waiting(reason="an earlier coordinator's generations may still train, out of sight")
        if (other := hindered(planned, self._opened)) is not None:
            names = ", ".join(m.node for m in other.members)
            return Waiting(reason=f"generation {other.generation} may still train on {names}, out of sight")
        return None


def _has_left(member: Member, generation: int, view: NodeView | None) -> bool:
    if view is None:
        return False
    followed = view.status.following
    later = followed is not None and followed.generation > generation
    return later or view.lapsed or not is_same_supervisor(member, view.status)
