"""The coordinator of a run as a child process, with a successor whenever it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from paceline.launch.job import JOB_NAME
from paceline.spec.errors import LaunchError

_RESTARTS = 3
_PROVEN_SECONDS = 60.0  # one that served so long did not die of what the one before it died of

# module, arguments, log
Spawn = Callable[[str, list[str], Path], "subprocess.Popen[bytes]"]


def spawn(module: str, arguments: list[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a module of ours as a process group of its own that writes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


class KeptCoordinator:
    """The coordinator of the run in `directory`. It ends with this process. `clock` is in seconds."""

    def __init__(self, directory: Path, spawn: Spawn, clock: Callable[[], float] = time.monotonic) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._spawn = spawn
        self._clock = clock
        self._started = 0.0
        self._restarts = 0
        self._stopping = False

    @property
    def ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def start(self) -> None:
        """Start it, as a successor if there was one before."""
        successor = ["successor"] if self.process is not None else []
        self._started = self._clock()
        arguments = [str(self._directory / JOB_NAME), str(os.getpid()), *successor]
        # until it can hear SIGTERM as a wish to stop, it would simply die of it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            log = self._directory / "coordinator.log"
            self.process = self._spawn("paceline.supervise.coordinator", arguments, log)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._stopping:
            self.process.terminate()

    def replace(self) -> None:
        """Start a successor, which learns everything from the nodes. LaunchError when they die one soon after the
        other; how many did over a long time does not count."""
        if self._clock() - self._started >= _PROVEN_SECONDS:
            self._restarts = 0
        if self._restarts == _RESTARTS:
            raise LaunchError(
                f"the coordinator ended {self._restarts + 1} times, each time within {_PROVEN_SECONDS:g} seconds",
                f"see {self._directory / 'coordinator.log'}",
            )
        self._restarts += 1
        self.start()

    def request_stop(self) -> None:
        """Ask for a last checkpoint and an end after the current step. A coordinator that dies meanwhile hands the
        wish on to its successor."""
        self._stopping = True
        if self.process is not None and not self.ended:
            self.process.terminate()
