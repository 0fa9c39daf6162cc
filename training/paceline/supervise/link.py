"""A worker's side of its supervisor: wait as a standby, be promoted, hand over snapshots, hear when to stop.

A worker is born with a `WorkerLaunch`, which names a handful of inherited descriptors (fork_server.py). When the
supervisor is gone the channel closes and the worker ends itself: it has nobody left to train for.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self

from pydantic import BaseModel

from paceline.checkpoint.segment import Segment
from paceline.spec.base import Record
from paceline.supervise import stacks
from paceline.supervise.flight_record import GroupRecord
from paceline.supervise.progress import Progress
from paceline.supervise.protocol import (
    SUPERVISOR_MESSAGE,
    CollectivesAsked,
    CollectivesTold,
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

    @property
    def descriptors(self) -> list[int]:
        """All that is inherited."""
        given = [self.channel_fd, self.progress_fd, self.stacks_fd, *self.segment_fds]
        return given if self.listen_fd is None else [*given, self.listen_fd]

    def inheriting(self, copies: Sequence[int]) -> Self:
        """The same, with `copies` of its descriptors in their place."""
        channel, progress, stacks, first, second, *listen = copies
        return self.model_copy(
            update={
                "channel_fd": channel,
                "progress_fd": progress,
                "stacks_fd": stacks,
                "segment_fds": (first, second),
                "listen_fd": listen[0] if listen else None,
            }
        )


class SupervisorLink:
    """The channel to the supervisor. Messages arrive on a thread; the trainer asks for what it needs.

    `examine` reads the flight recorder. It is called on a thread of its own, when the trainer may never come back.
    """

    def __init__(self, launch: WorkerLaunch) -> None:
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
        self.examine: Callable[[], tuple[GroupRecord, ...]] = tuple
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

    def _tell_collectives(self) -> None:
        self._send(CollectivesTold(groups=self.examine()))

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
            elif isinstance(message, CollectivesAsked):
                threading.Thread(target=self._tell_collectives, daemon=True, name="flight-recorder").start()
            self._changed.notify_all()
