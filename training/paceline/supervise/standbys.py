"""The crew of a node that waits for the next generation: when that comes, nobody waits for processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from paceline.supervise import staging
from paceline.supervise.crew import Crew, OnSnapshot
from paceline.supervise.fork_server import ForkServer
from paceline.supervise.memory import NodeMemory
from paceline.supervise.process import guarded
from paceline.supervise.protocol import Failure

WORKER_MODULE = "paceline.train.worker"


class Standbys:
    """Raises one crew at a time, whose workers have `memory`'s own segments. `changed` is called on every event worth
    reporting, `on_snapshot` when a worker, promoted since, has taken a snapshot."""

    def __init__(
        self,
        *,
        job_file: Path,
        node: str,
        host: str,
        directory: Path,
        memory: NodeMemory,
        changed: Callable[[], None],
        on_snapshot: OnSnapshot,
    ) -> None:
        self.crew: Crew | None = None
        self.failure: Failure | None = None  # why none can be raised here
        self._job_file, self._node, self._host, self._directory = job_file, node, host, directory
        self._memory = memory
        self._changed, self._on_snapshot = changed, on_snapshot
        self._log = directory / "workers.log"
        self._forks = ForkServer(WORKER_MODULE, job_file, self._log)
        self._raising: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Every worker of the crew has paid its first-call costs and waits."""
        return self.crew is not None and self.crew.ready

    @property
    def store_port(self) -> int | None:
        """Where the crew will serve the group's store if it has rank 0."""
        return self.crew.store_port if self.crew is not None else None

    def take(self) -> Crew | None:
        """The crew, if it is ready: from now on it is the caller's."""
        if not self.ready:
            return None
        crew, self.crew = self.crew, None
        return crew

    def raise_soon(self) -> asyncio.Task[None]:
        """Have a crew raised, if there is none."""
        if self._raising is None or (self._raising.done() and not self._closed):
            self._raising = guarded(self._raise())
        return self._raising

    async def _raise(self) -> None:
        if self.crew is not None:
            return
        crew = Crew(changed=self._changed, on_snapshot=self._on_snapshot, log=self._log)
        try:
            await crew.spawn(
                self._forks,
                segments=self._memory.own,
                job_file=self._job_file,
                node=self._node,
                host=self._host,
                data=self._directory / staging.DATA,
            )
        except OSError as error:
            self.failure = Failure(message=f"{self._node}: workers cannot be started: {error}")
        self.crew = crew
        self._changed()  # one may have ended before the last had begun

    def replace_broken(self) -> None:
        """Raise another crew if a worker of this one has ended, unless the next would end likewise."""
        if self.crew is None or self.crew.state != "failed":
            return
        broken, self.crew = self.crew, None
        broken.retire()
        if broken.failed_early:
            self.failure = broken.error
        else:
            self.raise_soon()

    async def close(self) -> None:
        """End the crew, and every other process that was forked here."""
        self._closed = True
        await self._forks.close()
        if self._raising is not None:
            await asyncio.wait([self._raising])  # half a crew could not be buried
        if self.crew is not None:
            self.crew.kill()
            await self.crew.bury()
