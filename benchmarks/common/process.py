"""How long a command takes, and how much memory it and all its children hold at most."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline.spec.errors import LaunchError

_SAMPLE_SECONDS = 0.05
_LAST_LINES = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Seconds from start to exit, and of all its processors; the largest sum of resident memory seen, in MB; the last
    line of what it said."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    last_line: str


def cost(command: Sequence[str], *, directory: Path, environment: Mapping[str, str]) -> Cost:
    """Run `command` in a session of its own, which ends with this call. LaunchError when it fails."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        sampler = _Sampler(process.pid)
        sampler.start()
        try:
            assert process.stdout is not None
            said = process.stdout.read()
            process.wait()
            seconds = time.perf_counter() - start
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            sampler.stop()
    if process.returncode:
        last = "\n".join(said.splitlines()[-_LAST_LINES:])
        raise LaunchError(f"{' '.join(command)} ended with code {process.returncode}:\n{last}", "run it alone")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(
        seconds=seconds, cpu_seconds=cpu, peak_mb=sampler.peak / 1e6, last_line=said.rstrip().rpartition("\n")[2]
    )


class _Sampler(threading.Thread):
    """Looks at the memory of a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, resident_bytes(self._pid))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def resident_bytes(pid: int) -> int:
    """The resident memory of `pid` and its descendants (proc_pid_statm(5)); pages that they share count for each."""
    process = Path("/proc", str(pid))
    try:
        own = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = [child for task in process.glob("task/*/children") for child in task.read_text().split()]
    except OSError:
        return 0  # it has just ended
    return own + sum(resident_bytes(int(child)) for child in children)
