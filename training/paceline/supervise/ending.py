"""How a run ends, as told by what its nodes report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from paceline.spec.job import JobSpec
from paceline.supervise.commit import Committer
from paceline.supervise.headway import workers_of
from paceline.supervise.membership import NodeView
from paceline.supervise.protocol import Assignment

_MORE_NODES_HINT = "start it again, with more nodes or spares; it resumes from its last checkpoint"
_STORAGE_HINT = "make room or mend access there, and start the run again: it resumes from the newest checkpoint"


@dataclass(frozen=True)
class Ending:
    """The last word about a run; `hint` is what to do about it."""

    outcome: Literal["completed", "stopped", "failed"]
    reason: str | None = None
    hint: str | None = None


def cannot_begin(job: JobSpec, views: Mapping[str, NodeView]) -> Ending | None:
    """The end before the beginning: every node has reported, and too few of them can ever serve."""
    failures = [view.status.failure for view in views.values() if view.status.failure]
    awaited = job.nodes + job.spares - len(views)
    if not failures or awaited > 0 or len(views) - len(failures) >= job.nodes:
        return None
    return Ending("failed", failures[0].message, failures[0].hint)


def not_enough_nodes(job: JobSpec, views: Mapping[str, NodeView], reason: str) -> Ending:
    """The end when no generation could open for as long as the job waits for nodes; `reason` is what was missing."""
    failures = [view.status.failure for view in views.values() if view.status.failure]
    because = f"; {failures[0].message}" if failures else ""
    return Ending(
        "failed", f"not enough nodes for {job.timeouts.membership:.0f} s: {reason}{because}", _MORE_NODES_HINT
    )


class LastCheckpoint:
    """Holds up the end of a run until the state after its last step is durable, for at most the job's `drain`."""

    def __init__(self, job: JobSpec, committer: Committer, clock: Callable[[], float]) -> None:
        self._patience = job.timeouts.drain
        self._committer = committer
        self._clock = clock
        self._since: float | None = None

    def begin_again(self) -> None:
        """Another generation has opened, with a last step of its own."""
        self._since = None

    def is_lost(self, assignment: Assignment, views: Mapping[str, NodeView]) -> bool:
        """Whether a node took its part with it: the next generation has to save it again."""
        step = min(worker.step for worker in workers_of(assignment, views))
        return self._committer.committed_step < step and not all(v.present for v in _members(assignment, views))

    def look(self, assignment: Assignment, views: Mapping[str, NodeView], why: str | None) -> Ending | None:
        """How the run ends whose workers have ended, `why` if they were asked to; None while there is hope for what is
        on its way."""
        workers, members = workers_of(assignment, views), _members(assignment, views)
        step = min(worker.step for worker in workers)
        if self._committer.committed_step >= step:
            stopped = any(worker.state == "stopped" for worker in workers)
            return Ending("stopped", why) if stopped else Ending("completed")
        self._since = self._since or self._clock()
        saving = self._committer.busy or any(view.status.uploading for view in members)
        if saving and self._clock() - self._since <= self._patience:
            return None
        refused = next((v.status.upload_failure for v in members if v.status.upload_failure), None)
        because = refused or self._committer.failure
        return Ending("failed", f"the checkpoint of the last step {step} could not be saved: {because}", _STORAGE_HINT)


def _members(assignment: Assignment, views: Mapping[str, NodeView]) -> list[NodeView]:
    return [views[m.node] for m in assignment.members if m.node in views]
