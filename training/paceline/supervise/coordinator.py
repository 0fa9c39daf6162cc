"""The coordinator of a run: hears every node, decides membership, commits checkpoints, ends the run.

Its state is soft. Killed at any moment, its successor learns the generation, the snapshots and the files on their way
from the next reports of the nodes; training does not notice. What it decides is in membership.py, without time or
sockets; here are the time and the sockets.

    python -m paceline.supervise.coordinator JOB_FILE [PARENT_PID [successor]]      (the token is in the environment)

SIGTERM asks the run to stop after the current step, with a last checkpoint; a second one ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.events import RunFinished, now
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_RUN_TOKEN, EVIDENCE
from paceline.supervise.cadence import PersistCadence
from paceline.supervise.commit import Committer
from paceline.supervise.conduct import Conduct
from paceline.supervise.ending import Ending, LastCheckpoint, cannot_begin, not_enough_nodes
from paceline.supervise.fence import Fence
from paceline.supervise.headway import furthest, has_paused, have_answered, have_ended
from paceline.supervise.herald import Herald, next_generation, since_start, told_before
from paceline.supervise.inquest import Inquest
from paceline.supervise.membership import (
    Fault,
    NodeView,
    Waiting,
    choose_buddies,
    find_faults,
    plan_generation,
    wanted_change,
)
from paceline.supervise.pacing import Pacing
from paceline.supervise.process import die_with_parent
from paceline.supervise.protocol import (
    STARTING,
    Address,
    Assignment,
    Directive,
    NodeStatus,
)
from paceline.supervise.reception import Reception
from paceline.supervise.roster import Roster, Wire

_PORT_HINT = "another process has this port; end it, or start the run again to get another one"
_TICK_SECONDS = 0.05
_SETTLE_SECONDS = 1.0  # a successor first listens to who is there


class Coordinator:
    """One run's coordinator."""

    def __init__(
        self, job: JobSpec, token: str, clock: Callable[[], float] = time.monotonic, *, successor: bool = False
    ) -> None:
        self.job = job
        self._successor = successor
        self.journal = Journal(Path(job.journal), run=job.run, producer="coordinator")
        self._clock = clock
        self._reception = Reception(token, self.hear, self._left)
        self._roster = Roster(job.timeouts, self.journal, clock)
        self._committer = Committer(job, self.journal)
        self._last_checkpoint = LastCheckpoint(job, self._committer, clock)
        self._conduct = Conduct(job.fault_budget, clock)
        recipe = Recipe.model_validate(job.recipe)
        self._pacing = Pacing(recipe.stragglers.action, self.journal)
        self._cadence = PersistCadence(recipe.checkpoint, self.journal)
        self._inquest = Inquest(job.timeouts, self.journal, Path(job.journal) / EVIDENCE, clock)
        told = told_before(Path(job.journal)) if successor else []
        self._herald = Herald(job, self.journal, told)
        self._conduct.recall(since_start(told), now())
        self._pacing.recall(since_start(told))
        self._cadence.recall(since_start(told))
        opened = next_generation(told)
        self._first_generation = max(job.first_generation, opened)
        self._fence = Fence(newest=opened - 1 if opened else None)
        self._assignment: Assignment | None = None
        self._pause: int | None = None
        self._roll_call: int | None = None
        self._started = self._waiting_since = clock()
        self._enough_since: float | None = None
        self._stop_requests = 0
        self._why_stopped: str | None = None
        self.ending: Ending | None = None

    async def run(self) -> int:
        """Serve until the run is over; the process's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.request_stop)
        # who started this process may have blocked it: a wish to stop waits until there is somebody to hear it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        where = (self.job.coordinator_host, self.job.coordinator_port)
        try:
            await self._reception.open(*where)
        except OSError as error:
            reason = f"coordinator: cannot listen on {where[0]}:{where[1]}: {error.strerror}"
            return self._close(Ending("failed", reason, _PORT_HINT))
        if not self._successor:
            self._herald.started()
        learning = asyncio.create_task(self._learn_what_is_durable())
        while self.ending is None:
            self.step()
            self._committer.claim_soon(self._assignment)
            await asyncio.sleep(_TICK_SECONDS)
        learning.cancel()
        await self._roster.dismiss()
        self._reception.close()
        return self._close(self.ending)

    def _close(self, ending: Ending) -> int:
        self.journal.emit(RunFinished, step=self._furthest(), **asdict(ending))
        self.journal.close()
        return 1 if ending.outcome == "failed" else 0

    # ----- talking to nodes ----------------------------------------------------------------------------------------

    def hear(self, status: NodeStatus, wire: Wire) -> bool:
        """A node reported on `wire`, which leads back to it; whether that renews its lease."""
        if not self._roster.hear(status, wire):
            return False
        followed = status.following
        if followed is not None and (self._assignment is None or followed.generation > self._assignment.generation):
            # a successor learns from the nodes what its predecessor decided
            self._assignment = followed
            self.journal.generation = followed.generation
        self.step()
        return True

    def _left(self, name: str, wire: Wire) -> None:
        if self._roster.hang_up(name, wire):
            grace = self.job.timeouts.disconnect_grace
            asyncio.get_running_loop().call_later(grace + 0.001, self.step)

    def request_stop(self) -> None:
        """Stop after the current step, with a last checkpoint; asked again, stop now."""
        self._stop_requests += 1
        self.step()

    def _tell(self, views: dict[str, NodeView]) -> None:
        buddies = choose_buddies(self._assignment, views) if self._assignment else {}
        for name in self._roster:
            directive = Directive(
                assignment=self._assignment,
                buddy=Address(host=buddy.host, port=buddy.peer_port) if (buddy := buddies.get(name)) else None,
                buddy_node=buddy.node if buddy else None,
                committed_step=self._committer.committed_step,
                inspect=self._inquest.inspect,
                pause=self._pause,
                persist_every=self._cadence.told,
                roll_call=self._roll_call,
                room=self._roster.largest_snapshot(),
                stop="leave" if self._may_leave(name, views) else "drain" if self._stop_requests else None,
            )
            self._roster.tell(name, directive)

    def _may_leave(self, name: str, views: dict[str, NodeView]) -> bool:
        """Whether a node whose capacity ends is not needed any more: others have taken over and gone on from there."""
        if not views[name].status.leaving:
            return False
        taking_part = self._assignment is not None and self._assignment.member(name) is not None
        handed_over = self._assignment is None or self._furthest() > self._assignment.restore.step
        return not taking_part and handed_over

    # ----- deciding ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One look at everything; called on every report and on every tick."""
        if self.ending is not None:
            return
        if self._stop_requests > 1:
            self.ending = Ending("stopped", "interrupted")
        elif not self._has_settled:
            return
        elif self._stop_requests and self._assignment is None:
            self.ending = Ending("stopped", "stopped before training began")
        elif self._committer.knows_durable:
            views = self._roster.views()
            self._fence = self._fence.look(views)
            if self._clock() - self._started > self.job.timeouts.lease:
                self._fence = self._fence.outlive(views)
            self._roster.note_standing(views, self._assignment)
            self._committer.step(self._roster.statuses(), self._assignment)
            if not self._is_over(views):
                self._open_if_needed(views)
            if self.ending is None:
                self._tell(views)

    @property
    def _has_settled(self) -> bool:
        return self._clock() - self._started >= _SETTLE_SECONDS

    async def _learn_what_is_durable(self) -> None:
        """A run that trains goes on until storage answers; one that cannot know what it has saved does not begin."""
        failure = await self._committer.learn(
            read=not self._successor, given_up=lambda: self._has_settled and self._assignment is None
        )
        if failure is not None:
            self.ending = Ending("failed", failure.message, failure.hint)

    def _open_if_needed(self, views: dict[str, NodeView]) -> None:
        if self._assignment is None:
            self._plan(views, STARTING, lost=())
            return
        faults = find_faults(self._assignment, views)
        if isinstance(faults, Waiting):
            return
        faults = faults or self._inquest.faults(self._assignment, views)
        if faults:
            self._heal(self._assignment, faults, views)
        elif not self._stop_requests and has_paused(self._assignment, views):
            self._plan(views, self._wanted_change(self._assignment, views) or "go on after a pause", lost=())
        else:
            self._waiting_since = self._clock()
            self._pacing.look(self._assignment, views)
            self._cadence.look(self._assignment, views)
            self._change_if_wanted(self._assignment, views)

    def _heal(self, assignment: Assignment, faults: list[Fault], views: dict[str, NodeView]) -> None:
        if self._herald.faults(assignment.generation, faults):
            progressed = self._furthest() > assignment.restore.step
            self._conduct.note(faults, progressed=progressed)
            if assignment.restore.source == "manifest" and not progressed:
                self._committer.is_verified = False  # it may have been altered since: read it before it is taken again
        cause = "; ".join(f"{f.fault}: {f.where}" for f in faults)
        if self._stop_requests:
            self.ending = Ending("stopped", f"stopped while healing ({cause})")
        elif (bug := self._conduct.verdict(faults)) is not None:
            self.ending = Ending("failed", bug.message, bug.hint)
        else:
            good = min((f.good_step for f in faults if f.good_step is not None), default=None)
            lost = tuple(f.where for f in faults if f.fault_class == "node_lost")
            self._roll_call = assignment.generation
            if have_answered(assignment, views):
                self._plan(views, cause, lost=lost, good_step=good)

    def _change_if_wanted(self, assignment: Assignment, views: dict[str, NodeView]) -> None:
        """A planned change waits until the next generation could open at once, then asks this one to pause."""
        change = self._wanted_change(assignment, views)
        if change is None or self._pause == assignment.generation:
            return
        staying = [v for v in views.values() if v.present and not v.status.leaving and v.status.failure is None]
        if len(staying) < min(self.job.sizes):
            self._stop_requests = max(self._stop_requests, 1)
            self._why_stopped = f"{change}, and nobody is left to hand over to"
        elif isinstance(self._planned(views, change), Assignment):
            self._pause = assignment.generation

    def _wanted_change(self, assignment: Assignment, views: dict[str, NodeView]) -> str | None:
        newest = max(self._first_generation, self._committer.first_generation) - 1
        return wanted_change(assignment, views, self.job.sizes, self._avoid, self._pacing.unwanted, newest=newest)

    @property
    def _avoid(self) -> frozenset[str]:
        """Nodes to use only when there are no others."""
        return self._conduct.avoid | self._pacing.unwanted

    def _planned(self, views: dict[str, NodeView], cause: str, good_step: int | None = None) -> Assignment | Waiting:
        planned = plan_generation(
            sizes=self.job.sizes,
            workers_per_node=self.job.workers_per_node,
            previous=self._assignment,
            first_generation=max(self._first_generation, self._committer.first_generation),
            views=views,
            durable_step=self._committer.durable_step,
            cause=cause,
            avoid=self._avoid,
            good_step=good_step,
        )
        return planned if isinstance(planned, Waiting) else self._fence.hinders(planned) or planned

    def _plan(
        self, views: dict[str, NodeView], cause: str, *, lost: tuple[str, ...], good_step: int | None = None
    ) -> None:
        """Open the next generation if it can be, give up if that takes too long."""
        now, planned = self._clock(), self._planned(views, cause, good_step)
        if isinstance(planned, Waiting):
            if now - self._waiting_since > self.job.timeouts.membership:
                self.ending = not_enough_nodes(self.job, views, planned.reason)
        elif planned.restore.source == "manifest" and not self._committer.is_verified:
            self._committer.verify_durable()
        elif not self._is_worth_waiting(views, now):
            previous, self._assignment = self._assignment, planned
            self._fence = self._fence.open(planned)
            self._pause, self._waiting_since = None, now
            self._last_checkpoint.begin_again()
            self._herald.opened(planned, previous, lost=lost)

    def _is_worth_waiting(self, views: dict[str, NodeView], now: float) -> bool:
        """At the start, whether spares, of those that have come, still warm up: a fault right after it needs them."""
        if self._assignment is not None:
            return False
        self._enough_since = self._enough_since or now
        ready = [view.status.ready for view in views.values() if view.present and view.status.failure is None]
        patience = self.job.timeouts.full_house if all(ready) else self.job.timeouts.membership
        return sum(ready) < self.job.nodes + self.job.spares and now - self._enough_since < patience

    def _is_over(self, views: dict[str, NodeView]) -> bool:
        """Whether nothing more is to be opened: the run has ended, or waits for its last checkpoint only."""
        if self._assignment is None:
            self.ending = cannot_begin(self.job, views)
            return self.ending is not None
        if not have_ended(self._assignment, views):
            return False
        if not self._stop_requests and has_paused(self._assignment, views):
            return False
        if self._last_checkpoint.is_lost(self._assignment, views):
            return False
        self.ending = self._last_checkpoint.look(self._assignment, views, self._why_stopped)
        return True

    def _furthest(self) -> int:
        return furthest(self._assignment, self._roster.statuses()) if self._assignment is not None else 0


def main() -> None:
    """Entry of the coordinator's process; see the module's docstring."""
    job_file, *rest = sys.argv[1:]
    if rest:
        die_with_parent(int(rest[0]))
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    token = os.environ[ENV_RUN_TOKEN]

    async def coordinate() -> int:
        return await Coordinator(job, token, successor="successor" in rest).run()

    code = asyncio.run(coordinate())
    sys.stdout.flush()
    os._exit(code)  # an upload that hangs on a thread must not keep the process


if __name__ == "__main__":
    main()
