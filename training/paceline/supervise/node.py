"""The node supervisor: keeps the node's workers in line with the coordinator's directive.

It owns what must outlive a worker (snapshots in memory, uploads, the standby crew), reports the node's whole status,
and reconciles: whatever the directive says, it makes so, however often it is told. Losing the coordinator changes
nothing for the workers; the supervisor keeps knocking until one answers.

    python -m paceline.supervise.node JOB_FILE NODE HOST DIRECTORY      (the run's token is in the environment)
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from paceline.journal.writer import Journal
from paceline.spec.events import Activity, PhaseChanged
from paceline.spec.health import Finding
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_FAILURE_DOMAIN, ENV_RUN_TOKEN, HEALTH_SOCKET
from paceline.supervise import peer, staging
from paceline.supervise.crew import Crew
from paceline.supervise.health_socket import hear_health
from paceline.supervise.inspector import Inspector
from paceline.supervise.lease import Lease
from paceline.supervise.lending import GRACE_SECONDS, Loan
from paceline.supervise.memory import NodeMemory
from paceline.supervise.persist import Persister
from paceline.supervise.process import die_with_parent, guarded
from paceline.supervise.protocol import (
    STARTING,
    Assignment,
    Directive,
    Failure,
    Member,
    NodeStatus,
    PersistEvery,
    SnapshotReady,
    StopRequested,
    WorkersStatus,
)
from paceline.supervise.replicate import Replicator
from paceline.supervise.restore import bring_state, promotions
from paceline.supervise.standbys import Standbys
from paceline.supervise.talk import Line

_STANDBY_PATIENCE_SECONDS = 2.0


class NodeSupervisor:
    """One node of one run. `health` is where the node's agent is heard, if not in `directory`."""

    def __init__(
        self, job_file: Path, node: str, host: str, directory: Path, token: str, *, health: Path | None = None
    ) -> None:
        self.job = JobSpec.model_validate_json(job_file.read_text(encoding="utf-8"))
        self.node, self.host, self.directory = node, host, directory
        self._token = token
        self._health_socket = health or directory / HEALTH_SOCKET
        self.journal = Journal(Path(self.job.journal), run=self.job.run, producer=node, node=node)
        self.memory = NodeMemory(node, self.job.workers_per_node)
        self._left = asyncio.Event()
        self.lease = Lease(self.job.timeouts.lease)
        self._line = Line(self.job, token, self.status, self._reconcile, self.lease)
        self._persister = Persister(self.job.checkpoints, self.journal, self._line.report_soon)
        self._replicator = Replicator(self.memory, self.journal, token, self._persister.released)
        self._server = peer.PeerServer(host, self.memory, token)
        self._standbys = Standbys(
            job_file=job_file,
            node=node,
            host=host,
            directory=directory,
            memory=self.memory,
            changed=self._workers_changed,
            on_snapshot=self._on_snapshot,
        )
        self._active: Crew | None = None
        self._following: Assignment | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._inspector = Inspector(node, self._line.report_soon)
        self._loan = Loan(self.job, node, directory, self.journal)
        self._pause: int | None = None
        self._roll_call: int | None = None
        self._persist_every: int | None = None
        self._leaving = self._stopping = False
        self._failure: Failure | None = None
        self._last_words: WorkersStatus | None = None  # what is told while there are no workers
        self._unfit: Finding | None = None
        self._staged = self._ended = False

    async def run(self) -> None:
        """Until the coordinator says that this node may go, or a second SIGTERM; the first asks to be replaced."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.request_leave)
        self._phase(Activity.INITIALISE)
        staging = guarded(self._stage())
        reporting = guarded(self._line.keep())
        hearing = guarded(hear_health(self._health_socket, self._health_says))
        watching = guarded(self.lease.watch(self._stop_unheard))
        lending = guarded(self._loan.keep(self.status))
        await self._left.wait()
        self._replicator.stop()
        self._inspector.stop()
        for task in filter(None, (staging, reporting, hearing, watching, lending, self._adopting)):
            task.cancel()
        await self._loan.reclaim(grace=GRACE_SECONDS)
        await self._standbys.close()
        if self._active is not None:
            self._active.kill()
            await self._active.bury()
        self._server.close()

    def request_leave(self) -> None:
        """This node's capacity ends: hand over after the current step and go; asked again, go now."""
        if self._leaving:
            self._left.set()
        self._leaving = True
        self._line.report_soon()

    # ----- what this node has --------------------------------------------------------------------------------------

    async def _stage(self) -> None:
        """Bring what the workers need to this node, verified, and raise the first standbys."""
        os.environ.update(staging.variables(self.job, self.directory))
        raising = self._standbys.raise_soon()
        try:
            await asyncio.to_thread(staging.bring, self.job, self.directory, self.journal)
        except Exception as error:  # noqa: BLE001 - the coordinator must hear why this node cannot serve
            self._failure = Failure.of(error)
        self._staged = True
        await raising
        self._line.report_soon()

    def _workers_changed(self) -> None:
        self._line.report_soon()
        if self._active is not None and self._active.state in ("completed", "stopped") and not self._ended:
            self._ended = True
            self._phase(Activity.CHECKPOINT_STALL, "last checkpoint")
        if self._active is not None and self._following is not None and not self._stopping:
            # a new crew only when the active one is under way: until then it needs the processors itself
            under_way = self._active.step > self._following.restore.step or self._active.state != "running"
            if under_way and self._standbys.crew is None:
                self._standbys.raise_soon()
        self._standbys.replace_broken()

    # ----- what the coordinator hears and says ---------------------------------------------------------------------

    def status(self) -> NodeStatus:
        """All that the coordinator needs to know, now."""
        free = self._staged and not self._is_adopting and self.lease.left > 0
        return NodeStatus(
            node=self.node,
            host=self.host,
            failure_domain=os.environ.get(ENV_FAILURE_DOMAIN),
            process_group=os.getpgrp(),
            peer_port=self._server.port,
            store_port=self._standbys.store_port,
            ready=free and self._standbys.ready,
            failure=self._failure or self._standbys.failure,
            unfit=self._unfit,
            following=self._following,
            workers=self._workers_status(),
            held=tuple(self.memory.held()),
            persisted=tuple(s for s in self._persister.persisted if s.step <= self._verified),
            uploading=self._persister.uploading,
            upload_failure=self._persister.failure,
            persist_seconds=self._persister.seconds,
            inspection=self._inspector.answer,
            roll_call=self._roll_call,
            leaving=self._leaving,
        )

    def _health_says(self, unfit: Finding | None) -> None:
        self._unfit = unfit
        self._line.report_soon()

    @property
    def _verified(self) -> int:
        """The newest step whose state was found right, as far as this node knows."""
        if self._active is not None:
            return self._active.verified
        return self._following.restore.verified if self._following is not None else -1

    def _workers_status(self) -> WorkersStatus | None:
        if self._following is None or self._active is None:
            return self._last_words
        return WorkersStatus(
            generation=self._following.generation,
            state=self._active.state,
            step=self._active.step,
            verified=self._active.verified,
            error=self._active.error,
            start_seconds=self._active.start_seconds,
            ranks=self._active.progress(),
        )

    def _reconcile(self, directive: Directive) -> None:
        if directive.stop == "leave":
            self._left.set()
            return
        self._persister.committed(directive.committed_step)
        self._stopping = self._stopping or directive.stop == "drain"
        self._pause, self._persist_every = directive.pause, directive.persist_every
        if directive.roll_call != self._roll_call:
            self._roll_call = directive.roll_call
            self._halt()
        followed = self._following is not None and self._following.generation == directive.inspect
        self._inspector.asked(directive.inspect, self._active if followed else None)
        assignment = directive.assignment
        current = self._following.generation if self._following is not None else -1
        if assignment is not None and assignment.generation > current:
            self._leave_generation()
            self._following = assignment
            self.journal.generation = assignment.generation
            self._adopting = guarded(self._adopt(assignment, after=self._adopting))
        if assignment is not None and assignment.member(self.node) is None:
            guarded(asyncio.to_thread(self.memory.make_room, directive.room))
        if directive.buddy != self._replicator.buddy:
            self._replicator.buddy, self._replicator.buddy_node = directive.buddy, directive.buddy_node
            if self._active is not None:
                self._replicator.start_newest(self._active)
        self._pass_on()

    def _pass_on(self) -> None:
        """What the workers must know of the directive, also those that were promoted after it."""
        if self._active is not None and self._persist_every is not None:
            self._active.send_all(PersistEvery(steps=self._persist_every))
        pausing = self._following is not None and self._pause == self._following.generation
        if (self._stopping or pausing) and self._active is not None:
            self._active.send_all(StopRequested())

    # ----- a new generation ----------------------------------------------------------------------------------------

    @property
    def _is_adopting(self) -> bool:
        return self._adopting is not None and not self._adopting.done()

    def _leave_generation(self) -> None:
        """At once: nothing that is still on its way in the old generation may reach the workers of the next."""
        self._replicator.stop()
        old, self._active = self._active, None
        self._last_words, self._ended = None, False
        if old is not None:
            old.retire()

    def _halt(self) -> None:
        """Answer a roll call. The workers of a broken generation end before it, so that what is held stays held; what
        became of them goes on being told."""
        if self._following is not None and self._following.generation == self._roll_call:
            words = self._workers_status()
            self._leave_generation()
            self._last_words = words
            self._standbys.raise_soon()
        self._line.report_soon()

    def _stop_unheard(self) -> None:
        """Others may have been given this generation's place: train no more until a coordinator says so."""
        if self._active is not None and self._active.state == "running":
            self._leave_generation()
            self._fail(Failure(message=f"no coordinator heard this node for {self.lease.seconds:g} s"))
            self._line.report_soon()

    def _fail(self, error: Failure) -> None:
        """There are no workers in the generation that this node follows, because of `error`."""
        assert self._following is not None
        generation, step = self._following.generation, self._following.restore.step
        self._last_words = WorkersStatus(generation=generation, state="failed", step=step, error=error)

    async def _adopt(self, assignment: Assignment, *, after: asyncio.Task[None] | None) -> None:
        """Bring the state here, promote the standbys. One generation `after` the other, since both write into the same
        segments; one that is overtaken meanwhile leaves the standbys to the next."""
        if after is not None:
            await asyncio.wait([after])
        if assignment is not self._following:
            return
        self.memory.forget_after(assignment.restore.step)
        self._persister.forget_after(assignment.restore.step, assignment.generation)
        member = assignment.member(self.node)
        if member is None or member.peer_port != self._server.port:  # a predecessor on this node was meant
            self._phase(Activity.IDLE_RESERVED)
            self._line.report_soon()
            return
        self._loan.recall()
        self._phase(Activity.INITIALISE if assignment.cause == STARTING else Activity.RESTART, assignment.cause)
        try:
            segments = await asyncio.to_thread(bring_state, self.memory, assignment, member.first_rank, self._token)
        except (peer.PeerError, OSError) as error:
            # its holder is gone too, as the coordinator will see in a moment: it will choose again
            if assignment is self._following:
                self._fail(Failure.of(error).model_copy(update={"message": f"restore from memory: {error}"}))
            segments = []
        occupied = await self._loan.reclaim()  # the devices must be free before the workers build
        if assignment is self._following and occupied is not None:
            self._failure = occupied
            self._fail(occupied)
        elif assignment is self._following and self._roll_call != assignment.generation and segments:
            self._promote(assignment, member, segments)
        self._line.report_soon()

    def _promote(self, assignment: Assignment, member: Member, segments: list[int]) -> None:
        if self.lease.left <= 0:
            self._fail(Failure(message="no coordinator heard this node any more when it was to begin"))
            return
        crew = self._active = self._standbys.take()
        if crew is None:
            self._fail(Failure(message="its standbys ended just before they were needed"))
            return
        crew.promote(promotions(assignment, member, segments))
        self._replicator.start_newest(crew)
        self._pass_on()
        asyncio.get_running_loop().call_later(_STANDBY_PATIENCE_SECONDS, self._follow_up, crew)

    def _follow_up(self, crew: Crew) -> None:
        """A crew that waits for a peer which will never come makes no step: have the next one ready all the same."""
        if crew is not self._active or not crew.has_met:
            self._standbys.raise_soon()

    # ----- snapshots -----------------------------------------------------------------------------------------------

    def _on_snapshot(self, local_rank: int, message: SnapshotReady) -> None:
        if self._active is None:
            return  # a last word of workers that are being replaced
        segment = self.memory.own[local_rank][message.segment]
        if message.persist:
            self._persister.start(segment)
        self._replicator.start(self._active, local_rank, segment)

    def _phase(self, activity: Activity, cause: str | None = None) -> None:
        self.journal.emit(PhaseChanged, activity=activity, cause=cause)


def main() -> None:
    """Entry of a node's process; see the module's docstring."""
    job_file, node, host, directory, *parent = sys.argv[1:]
    if parent:
        die_with_parent(int(parent[0]))

    async def supervise() -> None:
        await NodeSupervisor(Path(job_file), node, host, Path(directory), os.environ[ENV_RUN_TOKEN]).run()
        os._exit(0)  # at once: a transfer that hangs on a thread must not keep the process

    asyncio.run(supervise())


if __name__ == "__main__":
    main()
