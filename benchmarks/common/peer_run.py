"""A peer's job: the processes that its documentation says to start, and what their workers write. It leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.common.peer_environment import settings
from paceline.journal.reader import Follower
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, now
from paceline.spec.job import JobSpec

_POLL_SECONDS = 0.05  # as LocalRun
_LEAVE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One process, which starts the others of its own."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class PeerRun:
    """`commands` of one job, in `directory`. `tells` is what one of them says when it has found a dead worker."""

    def __init__(self, job: JobSpec, directory: Path, commands: Sequence[Command], *, tells: bytes | None) -> None:
        self.detected: datetime | None = None
        self._directory = directory
        self._commands = commands
        self._tells = tells
        self._follower = Follower(Path(job.journal))
        self._log = directory / "peer.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            for command in self._commands:
                self._start(command)
        except BaseException:  # Ctrl-C too: __exit__ is not called for an __enter__ that failed
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes; workers die with their parent if that has to be killed."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for listener in self._listeners:
            listener.join()  # the pipe ends with the last worker

    def events(self, patience: float) -> Iterator[AnyEvent]:
        """What the workers write, until all have ended, or nothing was written for `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            ended = all(process.poll() is not None for process in self._processes) or time.monotonic() > deadline
            for event in self._follower.poll():
                yield event
                deadline = time.monotonic() + patience
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def worker(self, rank: int) -> int:
        """The process id of the present worker of `rank`."""
        return int((self._directory / f"rank-{rank}.pid").read_text(encoding="utf-8"))

    def failure(self) -> LaunchError:
        """What to raise when the run did not do what it was started for."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        last = lines[-1].strip() if lines else "without a word"
        return LaunchError(f"the peer did not get through: {last}", "run it again on a machine with less load")

    def _start(self, command: Command) -> None:
        process = subprocess.Popen(
            command.arguments,
            env={**os.environ, **settings(), **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes.append(process)
        self._listeners.append(threading.Thread(target=self._listen, args=[process], daemon=True))
        self._listeners[-1].start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the log; the first word about a dead worker is the moment of detection."""
        assert process.stdout is not None
        with self._log.open("ab") as log:
            for line in process.stdout:
                if self.detected is None and self._tells is not None and self._tells in line:
                    self.detected = now()
                log.write(line)
                log.flush()
