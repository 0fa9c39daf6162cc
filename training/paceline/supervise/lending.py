"""What a spare node does for others: it works at the job's `lend` command, until the run needs the node.

The borrower may be ended at any time. It has the lowest priority, its output goes to `lent.log` in the node's
directory, and it does not learn the run's token. Each spare runs the command for itself; PACELINE_NODE tells it where.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from paceline.journal.writer import Journal
from paceline.spec.events import SpareLent, SpareReturned
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_NODE, ENV_RUN_TOKEN
from paceline.supervise.process import guarded
from paceline.supervise.protocol import Failure, NodeStatus

LOG_NAME = "lent.log"
GRACE_SECONDS = 1.0

_MODULE = "paceline.supervise.reaper"
_PATIENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0


def is_spare(status: NodeStatus) -> bool:
    """Whether a generation runs without this node, which stays and may get a place in the next."""
    stays = status.failure is None and status.unfit is None and not status.leaving
    return stays and status.following is not None and status.following.member(status.node) is None


class Loan:
    """The work of `node` for others. A command that ends with 0 is finished; after another code it is begun again, each
    time after a longer pause."""

    def __init__(self, job: JobSpec, node: str, directory: Path, journal: Journal) -> None:
        self._command, self._interval = job.lend, job.timeouts.heartbeat_interval
        self._node, self._directory, self._journal = node, directory, journal
        self._reaper: asyncio.subprocess.Process | None = None
        self._lending: asyncio.Task[None] | None = None
        self._recalled: float | None = None
        self._due = 0.0
        self._pause = _FIRST_PAUSE_SECONDS

    async def keep(self, status: Callable[[], NodeStatus]) -> None:
        """Lend the node while it is a spare; from when its standbys are ready, whose rehearsal comes first."""
        while self._command is not None:
            await asyncio.sleep(self._interval)
            now = status()
            if not is_spare(now):
                await self.reclaim(grace=GRACE_SECONDS)
            elif now.ready and not self._is_lent and _time() >= self._due:
                self._recalled = None
                self._lending = guarded(self._lend(self._command))

    def recall(self) -> None:
        """Ask the borrower to end."""
        if self._is_lent and self._recalled is None:
            self._recalled = _time()
            self._tell(signal.SIGTERM)

    async def reclaim(self, *, grace: float = 0.0) -> Failure | None:
        """Return when nothing of the borrower is left, which gets `grace` seconds to end by itself; or why something
        is, which does not die even if killed."""
        self.recall()
        if self._lending is None or self._lending.done():
            return None
        if grace:
            await asyncio.wait([self._lending], timeout=grace)
        self._tell(signal.SIGUSR1)
        _, left = await asyncio.wait([self._lending], timeout=_PATIENCE_SECONDS)
        if not left:
            return None
        return Failure(
            message=f"{self._node}: what it was lent for does not end {_PATIENCE_SECONDS:g} s after SIGKILL",
            hint="see what its processes wait for: ps -eo pid,stat,wchan,args",
        )

    @property
    def _is_lent(self) -> bool:
        return self._lending is not None and not self._lending.done()

    def _tell(self, number: signal.Signals) -> None:
        if self._reaper is not None:
            with contextlib.suppress(ProcessLookupError):
                self._reaper.send_signal(number)

    async def _lend(self, command: tuple[str, ...]) -> None:
        began = _time()
        self._journal.emit(SpareLent, command=command)
        failure = await self._run(command)
        ended = _time()
        outcome: Literal["finished", "failed", "reclaimed"] = "reclaimed"
        if self._recalled is None:
            outcome = "finished" if failure is None else "failed"
            self._due = math.inf if failure is None else ended + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._journal.emit(
            SpareReturned,
            outcome=outcome,
            reason=failure if outcome == "failed" else None,
            seconds=ended - began,
            reclaim_seconds=None if self._recalled is None else ended - self._recalled,
        )

    async def _run(self, command: tuple[str, ...]) -> str | None:
        """Until nothing of it is left; why it failed, if it did."""
        path = self._directory / LOG_NAME
        environment = {name: value for name, value in os.environ.items() if name != ENV_RUN_TOKEN}
        try:
            with path.open("ab") as log:
                self._reaper = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", _MODULE, str(os.getpid()), *command),
                    env=environment | {ENV_NODE: self._node},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,  # it outlives a kill of the node's group, to end the borrower
                )
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        if self._recalled is not None:
            self._tell(signal.SIGUSR1)
        code = await self._reaper.wait()
        self._reaper = None
        return f"it ended with code {code}, see {path}" if code else None


def _time() -> float:
    return asyncio.get_running_loop().time()
