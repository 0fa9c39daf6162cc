"""How far a generation is, by what its members say of their workers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paceline.supervise.membership import NodeView
from paceline.supervise.protocol import Assignment, NodeStatus, WorkersStatus


def workers_of(assignment: Assignment, views: Mapping[str, NodeView]) -> list[WorkersStatus]:
    """What the members say of their workers in this generation."""
    said = [views[m.node].status.workers for m in assignment.members if m.node in views]
    return [w for w in said if w is not None and w.generation == assignment.generation]


def have_ended(assignment: Assignment, views: Mapping[str, NodeView]) -> bool:
    """Whether all workers have ended as they should."""
    workers = workers_of(assignment, views)
    return len(workers) == len(assignment.members) and {w.state for w in workers} <= {"stopped", "completed"}


def has_paused(assignment: Assignment, views: Mapping[str, NodeView]) -> bool:
    """Whether all workers ended after the same step, and not all because the schedule did."""
    stopped = any(w.state == "stopped" for w in workers_of(assignment, views))
    return stopped and have_ended(assignment, views)


def have_answered(assignment: Assignment, views: Mapping[str, NodeView]) -> bool:
    """Whether all who may hold a snapshot have told what they hold since this generation broke and their workers were
    ended. What they told before may be overwritten already."""
    usable = [(n, v.status) for n, v in views.items() if v.present and not v.suspected and v.status.failure is None]
    asked = [s for node, s in usable if s.held or assignment.member(node) is not None]
    return all(status.roll_call == assignment.generation for status in asked)


def furthest(assignment: Assignment, statuses: Iterable[NodeStatus]) -> int:
    """The last step that the generation is known to have done, or to have begun from."""
    workers = [status.workers for status in statuses if status.workers is not None]
    return max([assignment.restore.step, *(w.step for w in workers if w.generation == assignment.generation)])
