"""A run on a Slurm cluster, seen from where it was submitted: its events from the journal on the shared file system,
its job from Slurm."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from paceline.clients.slurm import SlurmJob
from paceline.journal.reader import Follower
from paceline.launch.slurm.script import SCRIPT_NAME, script
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, RunFinished
from paceline.spec.job import JobSpec

_POLL_SECONDS = 0.2
_ASK_SLURM_SECONDS = 2.0

# Of a job that will run no more (squeue(1), JOB STATE CODES).
_OVER = frozenset(
    ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY")
)


class Slurm(Protocol):
    """What is asked of the cluster. ClusterError when it says no or cannot be reached."""

    def submit(self, script: Path) -> int: ...

    def job(self, number: int) -> SlurmJob: ...

    def update(self, **fields: str) -> None: ...


class SlurmRun:
    """The rendered `job` in `directory`, which all nodes see at the same path."""

    def __init__(
        self,
        job: JobSpec,
        directory: Path,
        slurm: Slurm,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job, self._directory, self._slurm = job, directory, slurm
        self._clock, self._sleep = clock, sleep
        self._events = Follower(Path(job.journal))
        self._events.poll()  # what an earlier part of this run wrote has been told before

    def follow(self, on_event: Callable[[AnyEvent], None], say: Callable[[str], None]) -> RunFinished:
        """Submit the run and hand every event to `on_event` until Slurm is done with its job; how the run finished.

        Ctrl-C ends the following and leaves the job: who ends it does so with scancel. Raises LaunchError when the run
        failed, or the job ended without a word of it.
        """
        number = self._submit()
        say(f"job {number} submitted; Ctrl-C leaves it; to end it with a last checkpoint: scancel -b -s TERM {number}")
        finished: RunFinished | None = None
        found, told = None, ""
        asked = -_ASK_SLURM_SECONDS
        while True:
            if self._clock() - asked >= _ASK_SLURM_SECONDS:  # asked first: its last words are in the journal then
                found, asked = self._slurm.job(number), self._clock()
                if (words := _words(found)) != told:
                    say(told := words)
                self._begin_now(found)
            for event in self._events.poll():
                on_event(event)
                finished = event if isinstance(event, RunFinished) else finished
            if found is not None and found.state in _OVER:
                return self._checked(finished, found)
            self._sleep(_POLL_SECONDS)

    def _submit(self) -> int:
        path = self._directory / SCRIPT_NAME
        path.write_text(script(self._job, self._directory), encoding="utf-8")
        return self._slurm.submit(path)

    def _begin_now(self, found: SlurmJob) -> None:
        """Slurm sets the begin time of a job that it requeues 120 s ahead: take that back."""
        if found.state == "PENDING" and found.restarts and found.reason == "BeginTime":
            self._slurm.update(JobId=str(found.number), StartTime="now")

    def _checked(self, finished: RunFinished | None, found: SlurmJob) -> RunFinished:
        if finished is None:
            raise LaunchError(
                f"run {self._job.run}: job {found.number} ended as {found.state} before the run was over",
                f"see {self._directory / f'slurm-{found.number}.log'}",
            )
        if finished.outcome == "failed":
            raise LaunchError(f"run {self._job.run}: {finished.reason}", finished.hint)
        return finished


def _words(job: SlurmJob) -> str:
    again = f", start {job.restarts + 1}" if job.restarts else ""
    why = f" ({job.reason})" if job.state == "PENDING" else ""
    return f"job {job.number}: {job.state.lower()}{why}, {job.nodes} nodes{again}"
