"""A worker's side of its supervisor: wait as a standby, be promoted, hand over snapshots, hear when to stop.

The supervisor starts a worker with one argument, a `WorkerLaunch` as JSON, and a handful of inherited descriptors.
When the supervisor is gone the channel closes and the worker ends itself: it has nobody left to train for.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

from pydantic import BaseModel

from paceline.checkpoint.segment import Segment
from paceline.spec.base import Record
from paceline.supervise import stacks
from paceline.supervise.process import die_with_parent
from paceline.supervise.progress import Progress
from paceline.supervise.protocol import (
    SUPERVISOR_MESSAGE,
    Failure,
    PersistEvery,
    Promote,
    SnapshotReady,
    SnapshotSafe,
    StandbyReady,
    StepDone,
    StopRequested,
    SupervisorMessage,
    WorkerFailed,
    WorkerFinished,
)


class WorkerLaunch(Record):
    """What a worker is born with."""

    job_file: str
    node: str
    local_rank: int
    data_directory: str
    channel_fd: int
    progress_fd: int
    stacks_fd: int
    segment_fds: tuple[int, int]
    listen_fd: int | None
    parent_pid: int


class SupervisorLink:
    """The channel to the supervisor. Messages arrive on a thread; the trainer asks for what it needs."""

    def __init__(self, launch: WorkerLaunch) -> None:
        die_with_parent(launch.parent_pid)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides, not the terminal
        self.progress = Progress(launch.progress_fd)
        stacks.offer(launch.stacks_fd)
        self.segments = (Segment(launch.segment_fds[0]), Segment(launch.segment_fds[1]))
        self._socket = socket.socket(fileno=launch.channel_fd)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._promotion: Promote | None = None
        self._safe_step = -1
        self._stop = False
        self.persist_every: int | None = None
        threading.Thread(target=self._listen, daemon=True, name="supervisor-link").start()

    def wait_for_promotion(self) -> Promote:
        """Say that this standby is ready and sleep until it is needed."""
        self._send(StandbyReady())
        with self._changed:
            self._changed.wait_for(lambda: self._promotion is not None)
            assert self._promotion is not None
            return self._promotion

    def wait_until_safe(self, step: int) -> None:
        """Return when the snapshot of `step` (or a later one) has its second copy."""
        with self._changed:
            self._changed.wait_for(lambda: self._safe_step >= step)

    @property
    def stop_requested(self) -> bool:
        return self._stop

    def step_done(self, step: int, *, verified: int) -> None:
        self._send(StepDone(step=step, verified=verified))

    def snapshot_ready(self, segment: int, step: int, *, persist: bool) -> None:
        self._send(SnapshotReady(segment=segment, step=step, persist=persist))

    def finished(self, *, stopped: bool) -> None:
        self._send(WorkerFinished(outcome="stopped" if stopped else "completed"))

    def failed(self, error: Exception) -> None:
        self._send(WorkerFailed(error=Failure.of(error)))

    def _send(self, message: BaseModel) -> None:
        with self._sending:
            self._socket.sendall(message.model_dump_json().encode() + b"\n")

    def _listen(self) -> None:
        try:
            for line in self._lines:
                self._hear(SUPERVISOR_MESSAGE.validate_json(line))
        finally:  # also when the connection is reset, as a killed supervisor leaves it
            os._exit(0)

    def _hear(self, message: SupervisorMessage) -> None:
        with self._changed:
            if isinstance(message, Promote):
                self._promotion = message
            elif isinstance(message, SnapshotSafe):
                self._safe_step = max(self._safe_step, message.step)
            elif isinstance(message, PersistEvery):
                self.persist_every = message.steps
            elif isinstance(message, StopRequested):
                self._stop = True
            self._changed.notify_all()
