"""Upload snapshots to durable storage, out of the supervisor's memory and never by the trainer.

The bytes are copied out of the segment first (the trainer needs it again soon), then hashed and uploaded on a thread.
A failed upload is reported and costs the run that checkpoint, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.segment import Segment
from paceline.clients.object_store import open_store
from paceline.journal.writer import Journal
from paceline.spec.errors import CheckpointError
from paceline.spec.events import CheckpointFailed, CheckpointPersisted
from paceline.spec.manifest import TrainerState
from paceline.supervise.protocol import Failure, PersistedShard


class Persister:
    """The durable tier as one node sees it."""

    def __init__(self, root: str, journal: Journal, changed: Callable[[], None]) -> None:
        self._root = root
        self._journal = journal
        self._changed = changed
        self._repository: CheckpointRepository | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._persisted: list[PersistedShard] = []
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the last upload failed, if it did."""
        return self._failure

    @property
    def uploading(self) -> int:
        return len(self._tasks)

    @property
    def persisted(self) -> tuple[PersistedShard, ...]:
        """Durable files whose checkpoint is not known to be committed yet."""
        return tuple(self._persisted)

    def committed(self, step: int) -> None:
        """Forget what a committed checkpoint holds, or has overtaken."""
        self._persisted = [shard for shard in self._persisted if shard.step > step]

    def start(self, segment: Segment) -> None:
        """Copy the snapshot out of `segment` now, upload it in the background."""
        header = segment.header()
        assert header is not None
        content = bytes(segment.body(header.body_bytes))
        work = self._upload(content, header.rank, header.generation, segment.trainer(header))
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed()

    async def _upload(self, content: bytes, rank: int, generation: int, trainer: TrainerState) -> None:
        started = time.perf_counter()
        where = f"{self._root}, step {trainer.step}, rank {rank}"
        try:
            repository = await asyncio.to_thread(self._open)
            where = repository.uri(trainer.step)
            file = await asyncio.to_thread(repository.put_shard, trainer.step, rank, content, generation=generation)
        except Exception as error:  # noqa: BLE001 - whatever storage says, training goes on and the reason is told
            reason = self._failure = Failure.of(error).message
            self._journal.emit(CheckpointFailed, step=trainer.step, uri=where, reason=reason, rank=rank)
            return
        self._failure = None
        self._persisted.append(PersistedShard(step=trainer.step, generation=generation, file=file, trainer=trainer))
        self._journal.emit(
            CheckpointPersisted,
            step=trainer.step,
            uri=f"{where}/{file.name}",
            bytes=file.bytes,
            sha256=file.sha256,
            seconds=time.perf_counter() - started,
            rank=rank,
        )

    def _open(self) -> CheckpointRepository:
        if self._repository is None:
            self._repository = CheckpointRepository(open_store(self._root, CheckpointError))
        return self._repository
