"""The workers of one node: one process per local rank, first waiting as standbys, then promoted together.

A crew is used once. Recovery kills it and promotes the next one, so that starting and recovering are the same path.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from paceline.supervise import stacks
from paceline.supervise.flight_record import GroupRecord
from paceline.supervise.fork_server import ForkedProcess, ForkServer
from paceline.supervise.link import WorkerLaunch
from paceline.supervise.memory import Pair
from paceline.supervise.process import guarded, process_state
from paceline.supervise.progress import Phase, Progress
from paceline.supervise.protocol import (
    WORKER_MESSAGE,
    CollectivesAsked,
    CollectivesTold,
    Failure,
    Promote,
    RankEvidence,
    RankProgress,
    SnapshotReady,
    StandbyReady,
    StepDone,
    WorkerFailed,
    WorkerFinished,
    WorkersState,
)

OnSnapshot = Callable[[int, SnapshotReady], None]  # local rank, message
_RECORD_SECONDS = 2.0  # 2000 entries take half a second of a core; shorter than the coordinator waits for a node


@dataclass
class Worker:
    """One process and what is known of it."""

    local_rank: int
    process: ForkedProcess
    writer: asyncio.StreamWriter
    progress: Progress
    stacks_fd: int
    rank: int = -1
    ready: bool = False
    step: int = -1
    verified: int = -1
    outcome: Literal["completed", "stopped", "failed"] | None = None
    error: Failure | None = None
    record: asyncio.Future[tuple[GroupRecord, ...]] | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Crew:
    """All workers of a node that live and die together. `changed` is called on every event worth reporting."""

    def __init__(self, *, changed: Callable[[], None], on_snapshot: OnSnapshot, log: Path) -> None:
        self.workers: list[Worker] = []
        self.store_port: int | None = None
        self.start_seconds: float | None = None  # from the promotion until every worker had done a step
        self._promoted, self._restored = 0.0, -1
        self._changed = changed
        self._on_snapshot = on_snapshot
        self._log = log
        self._killed = False

    async def spawn(
        self, server: ForkServer, *, segments: Sequence[Pair], job_file: Path, node: str, host: str, data: Path
    ) -> None:
        """Have `server` fork one standby per segment pair. OSError if it cannot."""
        for local_rank, pair in enumerate(segments):
            listener = socket.create_server((host, 0)) if local_rank == 0 else None
            ours, theirs = socket.socketpair()
            progress = Progress(os.memfd_create(f"paceline-{node}-progress{local_rank}", 0))
            stacks_fd = os.memfd_create(f"paceline-{node}-stacks{local_rank}", 0)
            launch = WorkerLaunch(
                job_file=str(job_file),
                node=node,
                local_rank=local_rank,
                data_directory=str(data),
                channel_fd=theirs.fileno(),
                progress_fd=progress.fd,
                stacks_fd=stacks_fd,
                segment_fds=(pair[0].fd, pair[1].fd),
                listen_fd=listener.fileno() if listener else None,
            )
            process = await server.fork(launch)
            theirs.close()
            if listener:
                self.store_port = listener.getsockname()[1]
                listener.close()
            reader, writer = await asyncio.open_connection(sock=ours)
            worker = Worker(
                local_rank=local_rank, process=process, writer=writer, progress=progress, stacks_fd=stacks_fd
            )
            worker.tasks.append(guarded(self._listen(worker, reader)))
            self.workers.append(worker)

    @property
    def ready(self) -> bool:
        """Every standby has paid its first-call costs and waits."""
        return bool(self.workers) and all(w.ready and w.outcome is None for w in self.workers)

    @property
    def state(self) -> WorkersState:
        """The worst of the workers; completed only when all agree."""
        outcomes = [w.outcome for w in self.workers]
        if "failed" in outcomes:
            return "failed"
        if all(outcomes):
            return "stopped" if "stopped" in outcomes else "completed"
        return "running"

    @property
    def step(self) -> int:
        """The lowest step that all workers have finished."""
        return min((w.step for w in self.workers), default=-1)

    @property
    def has_met(self) -> bool:
        """Its workers have found their peers and their state: what they do next needs the processors."""
        return all(worker.phase > Phase.RESTORE for worker in self.progress())

    @property
    def verified(self) -> int:
        """The newest step whose state all workers found right."""
        return min((w.verified for w in self.workers), default=-1)

    @property
    def failed_early(self) -> bool:
        """Some worker failed before it was ready: what it lacks, the next one will lack too."""
        return any(w.outcome == "failed" and not w.ready for w in self.workers)

    @property
    def error(self) -> Failure | None:
        return next((w.error for w in self.workers if w.outcome == "failed" and w.error), None)

    def progress(self) -> tuple[RankProgress, ...]:
        """How far each promoted worker is."""
        return tuple(_progress(worker) for worker in self.workers if worker.rank >= 0)

    async def inspect(self, node: str) -> tuple[RankEvidence, ...]:
        """Look at each promoted worker from outside, and ask it for its flight record."""
        promoted = [worker for worker in self.workers if worker.rank >= 0]
        return tuple(await asyncio.gather(*(self._inspect(worker, node) for worker in promoted)))

    async def _inspect(self, worker: Worker, node: str) -> RankEvidence:
        pid, progress = worker.process.pid, _progress(worker)
        state = process_state(pid)
        taken, groups = await asyncio.gather(stacks.take(pid, worker.stacks_fd), self._ask_record(worker))
        return RankEvidence(**progress.model_dump(), node=node, process_state=state, stacks=taken, groups=groups)

    async def _ask_record(self, worker: Worker) -> tuple[GroupRecord, ...] | None:
        """None when it does not answer: it is stopped, or a call keeps the interpreter's lock."""
        worker.record = asyncio.get_running_loop().create_future()
        self._send(worker, CollectivesAsked())
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(worker.record, _RECORD_SECONDS)
        return None

    def _fail(self, worker: Worker, error: Failure) -> None:
        if worker.outcome is None:  # what goes wrong after the work is done changes nothing
            worker.outcome, worker.error = "failed", error

    def promote(self, promotions: Sequence[Promote]) -> None:
        self._promoted, self._restored = time.monotonic(), promotions[0].restore_step
        for worker, promotion in zip(self.workers, promotions, strict=True):
            worker.step, worker.verified = promotion.restore_step, promotion.verified
            worker.rank = promotion.rank
            worker.progress.write(step=promotion.restore_step, phase=Phase.BUILD)  # its idle time counts from now
            self._send(worker, promotion)

    def send_all(self, message: BaseModel) -> None:
        for worker in self.workers:
            self._send(worker, message)

    def send(self, local_rank: int, message: BaseModel) -> None:
        self._send(self.workers[local_rank], message)

    def kill(self) -> None:
        """End all workers, at once. What they still write in dying is found by the snapshots' digests."""
        self._killed = True
        for worker in self.workers:
            worker.process.kill()

    def retire(self) -> None:
        """End all workers now, and bury them while others go on."""
        self.kill()
        guarded(self.bury())

    async def bury(self) -> None:
        """Wait until killed workers are gone, which takes as long as their memory is large, and forget them."""
        for worker in self.workers:
            await worker.process.wait()
            worker.writer.close()
            worker.progress.close()
            os.close(worker.progress.fd)
            os.close(worker.stacks_fd)
            for task in worker.tasks:
                task.cancel()

    def _send(self, worker: Worker, message: BaseModel) -> None:
        if not worker.writer.is_closing():
            worker.writer.write(message.model_dump_json().encode() + b"\n")

    async def _listen(self, worker: Worker, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                self._hear(worker, WORKER_MESSAGE.validate_json(line))
        except (ConnectionError, ValidationError, ValueError) as error:
            worker.error = worker.error or Failure(message=f"its channel broke: {error}")
        code = await worker.process.wait()
        if worker.outcome is None and not self._killed:
            how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self._fail(
                worker, worker.error or Failure(message=f"worker {worker.local_rank} {how}", hint=f"see {self._log}")
            )
            self._changed()

    def _hear(self, worker: Worker, message: object) -> None:
        if isinstance(message, StandbyReady):
            worker.ready = True
        elif isinstance(message, StepDone):
            worker.step, worker.verified = message.step, message.verified
            if self.start_seconds is None and self.step > self._restored:
                self.start_seconds = time.monotonic() - self._promoted
        elif isinstance(message, SnapshotReady):
            self._on_snapshot(worker.local_rank, message)
        elif isinstance(message, CollectivesTold):
            if worker.record is not None and not worker.record.done():
                worker.record.set_result(message.groups)
        elif isinstance(message, WorkerFinished):
            worker.outcome, worker.verified = message.outcome, worker.step
        elif isinstance(message, WorkerFailed):
            self._fail(worker, message.error)
        self._changed()


def _progress(worker: Worker) -> RankProgress:
    words = worker.progress.read()
    return RankProgress(
        rank=worker.rank, step=words.step, phase=words.phase, idle_seconds=words.idle_seconds, work=words.work
    )
