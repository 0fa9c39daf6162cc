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
from paceline.supervise.fork_server import ForkServer
from paceline.supervise.health_socket import hear_health
from paceline.supervise.inspector import Inspector
from paceline.supervise.lease import Lease
from paceline.supervise.memory import NodeMemory, is_snapshot
from paceline.supervise.persist import Persister
from paceline.supervise.process import die_with_parent, guarded
from paceline.supervise.protocol import (
    STARTING,
    Address,
    Assignment,
    Directive,
    Failure,
    Member,
    NodeStatus,
    PersistEvery,
    Promote,
    SnapshotReady,
    StopRequested,
    WorkersStatus,
)
from paceline.supervise.replicate import Replicator
from paceline.supervise.talk import Line

WORKER_MODULE = "paceline.train.worker"
_STANDBY_PATIENCE_SECONDS = 2.0


class NodeSupervisor:
    """One node of one run. `health` is where the node's agent is heard, if not in `directory`."""

    def __init__(
        self, job_file: Path, node: str, host: str, directory: Path, token: str, *, health: Path | None = None
    ) -> None:
        self.job = JobSpec.model_validate_json(job_file.read_text(encoding="utf-8"))
        self.node, self.host, self.directory = node, host, directory
        self._job_file, self._token = job_file, token
        self._health_socket = health or directory / HEALTH_SOCKET
        self.journal = Journal(Path(self.job.journal), run=self.job.run, producer=node, node=node)
        self.memory = NodeMemory(node, self.job.workers_per_node)
        self._left = asyncio.Event()
        self.lease = Lease(self.job.timeouts.lease)
        self._line = Line(self.job, token, self.status, self._reconcile, self.lease)
        self._persister = Persister(self.job.checkpoints, self.journal, self._line.report_soon)
        self._replicator = Replicator(self.memory, self.journal, token, self._persister.released)
        self._server = peer.PeerServer(host, self.memory, token)
        self._log = directory / "workers.log"
        self._forks = ForkServer(WORKER_MODULE, job_file, self._log)
        self._active: Crew | None = None
        self._standby: Crew | None = None
        self._following: Assignment | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._spawning: asyncio.Task[None] | None = None
        self._inspector = Inspector(node, self._line.report_soon)
        self._pause: int | None = None
        self._persist_every: int | None = None
        self._leaving = False
        self._stopping = False
        self._failure: Failure | None = None
        self._unfit: Finding | None = None
        self._unpromoted: Failure | None = None
        self._staged = False
        self._ended = False

    async def run(self) -> None:
        """Until the coordinator says that this node may go, or a second SIGTERM; the first asks to be replaced."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_leave)
        self._phase(Activity.INITIALISE)
        staging = guarded(self._stage())
        reporting = guarded(self._line.keep())
        hearing = guarded(hear_health(self._health_socket, self._health_says))
        watching = guarded(self.lease.watch(self._stop_unheard))
        await self._left.wait()
        self._replicator.stop()
        self._inspector.stop()
        for task in (staging, reporting, hearing, watching, self._adopting):
            if task is not None:
                task.cancel()
        await self._forks.close()
        if self._spawning is not None:
            await asyncio.wait([self._spawning])  # half a crew could not be buried
        for crew in (self._active, self._standby):
            if crew is not None:
                crew.kill()
                await crew.bury()
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
        spawning = self._raise_standbys()
        try:
            await asyncio.to_thread(staging.bring, self.job, self.directory, self.journal)
        except Exception as error:  # noqa: BLE001 - the coordinator must hear why this node cannot serve
            self._failure = Failure.of(error)
        self._staged = True
        await spawning
        self._line.report_soon()

    def _raise_standbys(self) -> asyncio.Task[None]:
        if self._spawning is None or (self._spawning.done() and not self._left.is_set()):
            self._spawning = guarded(self._spawn())
        return self._spawning

    async def _spawn(self) -> None:
        if self._standby is not None:
            return
        crew = Crew(changed=self._workers_changed, on_snapshot=self._on_snapshot, log=self._log)
        try:
            await crew.spawn(
                self._forks,
                segments=self.memory.own,
                job_file=self._job_file,
                node=self.node,
                host=self.host,
                data=self.directory / staging.DATA,
            )
        except OSError as error:
            self._failure = Failure(message=f"{self.node}: workers cannot be started: {error}")
        self._standby = crew
        self._workers_changed()  # one may have ended before the last had begun

    def _workers_changed(self) -> None:
        self._line.report_soon()
        if self._active is not None and self._active.state in ("completed", "stopped") and not self._ended:
            self._ended = True
            self._phase(Activity.CHECKPOINT_STALL, "last checkpoint")
        if self._active is not None and self._following is not None and not self._stopping:
            # a new crew only when the active one is under way: until then it needs the processors itself
            under_way = self._active.step > self._following.restore.step or self._active.state != "running"
            if under_way and self._standby is None:
                self._raise_standbys()
        if self._standby is not None and self._standby.state == "failed":
            broken, self._standby = self._standby, None
            self._retire(broken)
            if broken.failed_early:  # and so would the next
                self._failure = broken.error
            else:
                self._raise_standbys()

    def _retire(self, crew: Crew) -> None:
        crew.kill()
        guarded(crew.bury())

    # ----- what the coordinator hears and says ---------------------------------------------------------------------

    def status(self) -> NodeStatus:
        """All that the coordinator needs to know, now."""
        free = self._staged and not self._is_adopting and self.lease.left > 0
        ready = free and self._standby is not None and self._standby.ready
        return NodeStatus(
            node=self.node,
            host=self.host,
            failure_domain=os.environ.get(ENV_FAILURE_DOMAIN),
            process_group=os.getpgrp(),
            peer_port=self._server.port,
            store_port=self._standby.store_port if self._standby is not None else None,
            ready=ready,
            failure=self._failure,
            unfit=self._unfit,
            following=self._following,
            workers=self._workers_status(),
            held=tuple(self.memory.held()),
            persisted=tuple(s for s in self._persister.persisted if s.step <= self._verified),
            uploading=self._persister.uploading,
            upload_failure=self._persister.failure,
            persist_seconds=self._persister.seconds,
            inspection=self._inspector.answer,
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
        if self._following is None:
            return None
        generation = self._following.generation
        if self._unpromoted is not None:
            step = self._following.restore.step
            return WorkersStatus(generation=generation, state="failed", step=step, error=self._unpromoted)
        if self._active is None:
            return None
        return WorkersStatus(
            generation=generation,
            state=self._active.state,
            step=self._active.step,
            verified=self._active.verified,
            error=self._active.error,
            ranks=self._active.progress(),
        )

    def _reconcile(self, directive: Directive) -> None:
        if directive.stop == "leave":
            self._left.set()
            return
        self._persister.committed(directive.committed_step)
        self._stopping = self._stopping or directive.stop == "drain"
        self._pause, self._persist_every = directive.pause, directive.persist_every
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
        self._unpromoted, self._ended = None, False
        if old is not None:
            self._retire(old)

    def _stop_unheard(self) -> None:
        """Others may have been given this generation's place: train no more until a coordinator says so."""
        if self._active is not None and self._active.state == "running":
            self._leave_generation()
            self._unpromoted = Failure(message=f"no coordinator heard this node for {self.lease.seconds:g} s")
            self._line.report_soon()

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
        self._phase(Activity.INITIALISE if assignment.cause == STARTING else Activity.RESTART, assignment.cause)
        try:
            segments = await asyncio.to_thread(self._bring_state, assignment, member.first_rank)
        except (peer.PeerError, OSError) as error:
            # its holder is gone too, as the coordinator will see in a moment: it will choose again
            self._unpromoted = Failure.of(error).model_copy(update={"message": f"restore from memory: {error}"})
            segments = []
        if assignment is not self._following:
            self._unpromoted = None
        elif segments:
            self._promote(assignment, member, segments)
        self._line.report_soon()

    def _promote(self, assignment: Assignment, member: Member, segments: list[int]) -> None:
        crew = self._standby
        if self.lease.left <= 0:
            self._unpromoted = Failure(message="no coordinator heard this node any more when it was to begin")
            return
        if crew is None or not crew.ready:
            self._unpromoted = Failure(message="its standbys ended just before they were needed")
            return
        self._standby, self._active = None, crew
        first = assignment.members[0]
        crew.promote(
            [
                Promote(
                    generation=assignment.generation,
                    rank=member.first_rank + local_rank,
                    local_rank=local_rank,
                    world_size=assignment.world_size,
                    store=Address(host=first.host, port=first.store_port),
                    restore_step=assignment.restore.step,
                    verified=assignment.restore.verified,
                    restore_from=assignment.restore.source,
                    restore_segment=segment,
                    restore_shards=assignment.restore.shards if segment < 0 else (),
                )
                for local_rank, segment in enumerate(segments)
            ]
        )
        self._replicator.start_newest(crew)
        self._pass_on()
        asyncio.get_running_loop().call_later(_STANDBY_PATIENCE_SECONDS, self._follow_up, crew)

    def _follow_up(self, crew: Crew) -> None:
        """A crew that waits for a peer which will never come makes no step: have the next one ready all the same."""
        if crew is not self._active or not crew.has_met:
            self._raise_standbys()

    def _bring_state(self, assignment: Assignment, first_rank: int) -> list[int]:
        """For each local rank the own segment that holds the snapshot to start from; -1 when none is used, or when
        another world wrote the state: then every rank takes its part out of all shards."""
        restore = assignment.restore
        if restore.source != "memory" or len(restore.shards) != assignment.world_size:
            return [-1] * self.job.workers_per_node
        chosen = []
        for local_rank, pair in enumerate(self.memory.own):
            rank = first_rank + local_rank
            source = next(s for s in restore.shards if s.rank == rank)
            here = [index for index in (0, 1) if is_snapshot(pair[index], rank, restore.step, source.digest)]
            index = here[0] if here else self.memory.restore_target(local_rank)
            if not here:
                peer.fetch(source.address, rank, restore.step, source.digest, pair[index], self._token)
            chosen.append(index)
        return chosen

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
    token = os.environ[ENV_RUN_TOKEN]

    async def supervise() -> None:
        await NodeSupervisor(Path(job_file), node, host, Path(directory), token).run()
        os._exit(0)  # at once: a transfer that hangs on a thread must not keep the process

    asyncio.run(supervise())


if __name__ == "__main__":
    main()
