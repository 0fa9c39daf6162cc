"""Upload snapshots to durable storage, out of the supervisor's memory and never by the trainer.

The bytes are copied out of the segment first, on a thread and compared with their digest; only then may the trainer use
the segment again. At most one upload per rank is under way and one waits: where storage is slower than the cadence, the
newest snapshot takes the place of the one that waits. A failed upload is reported and costs the run that checkpoint,
nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.segment import Segment, SegmentContent, SegmentHeader
from paceline.clients.object_store import open_store
from paceline.journal.writer import Journal
from paceline.spec.errors import CheckpointError
from paceline.spec.events import CheckpointFailed, CheckpointPersisted
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
        self._went_back: list[tuple[int, int]] = []
        self._failure: str | None = None
        self._seconds: dict[int, float] = {}
        self._reading: dict[Segment, asyncio.Event] = {}
        self._busy: set[int] = set()
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    @property
    def failure(self) -> str | None:
        """Why the last upload failed, if it did."""
        return self._failure

    @property
    def seconds(self) -> float | None:
        """The longest of the last uploads of each rank."""
        return max(self._seconds.values(), default=None)

    @property
    def uploading(self) -> int:
        return len(self._tasks)

    @property
    def persisted(self) -> tuple[PersistedShard, ...]:
        """Durable files whose checkpoint is not known to be committed yet."""
        return tuple(shard for shard in self._persisted if not self._overtaken(shard))

    def forget_after(self, step: int, generation: int) -> None:
        """`generation` went back to `step`: what earlier ones saved after it was not wanted, or was wrong."""
        self._went_back.append((step, generation))

    def _overtaken(self, shard: PersistedShard) -> bool:
        return any(shard.step > step and shard.generation < generation for step, generation in self._went_back)

    def committed(self, step: int) -> None:
        """Forget what a committed checkpoint holds, or has overtaken."""
        self._persisted = [shard for shard in self._persisted if shard.step > step]

    def start(self, segment: Segment) -> None:
        """Make the snapshot in `segment` durable, in the background; `released` says when the segment is free."""
        self._reading[segment] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._save(segment, self._reading[segment]))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def released(self, segment: Segment) -> None:
        """Return when nothing reads `segment` any more."""
        if (reading := self._reading.get(segment)) is not None:
            await reading.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed()

    async def _save(self, segment: Segment, read: asyncio.Event) -> None:
        header = segment.header()
        assert header is not None
        try:
            content = await asyncio.to_thread(segment.copy_out)
        finally:
            read.set()
            if self._reading.get(segment) is read:
                del self._reading[segment]
        step, rank = header.step, header.rank
        where = f"{self._root}, step {step}, rank {rank}"
        if content is None:
            self._failed(step, rank, where, "the snapshot in memory is damaged, or was overwritten while it was copied")
        elif not await self._turn(rank):
            self._failed(step, rank, where, "storage is slower than checkpoints come: a newer one took its place")
        else:
            try:
                await self._upload(content, header)
            finally:
                self._next(rank)

    async def _turn(self, rank: int) -> bool:
        """Wait until no other upload of `rank` is under way; False when a newer snapshot has come meanwhile."""
        if rank not in self._busy:
            self._busy.add(rank)
            return True
        if (older := self._waiting.pop(rank, None)) is not None:
            older.set_result(False)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[rank] = turn
        return await turn

    def _next(self, rank: int) -> None:
        if (waiting := self._waiting.pop(rank, None)) is not None:
            waiting.set_result(True)
        else:
            self._busy.discard(rank)

    async def _upload(self, content: SegmentContent, header: SegmentHeader) -> None:
        started = time.perf_counter()
        rank, generation = header.rank, header.generation
        trainer, body = content.trainer, content.body
        where = f"{self._root}, step {trainer.step}, rank {rank}"
        try:
            repository = await asyncio.to_thread(self._open)
            where = repository.uri(trainer.step)
            file = await asyncio.to_thread(repository.put_shard, trainer.step, rank, body, generation=generation)
        except Exception as error:  # noqa: BLE001 - whatever storage says, training goes on and the reason is told
            self._failed(trainer.step, rank, where, Failure.of(error).message)
            return
        self._failure, self._seconds[rank] = None, time.perf_counter() - started
        self._persisted.append(
            PersistedShard(
                step=trainer.step, generation=generation, world_size=header.world_size, file=file, trainer=trainer
            )
        )
        self._journal.emit(
            CheckpointPersisted,
            step=trainer.step,
            uri=f"{where}/{file.name}",
            bytes=file.bytes,
            sha256=file.sha256,
            seconds=self._seconds[rank],
            rank=rank,
        )

    def _failed(self, step: int, rank: int, where: str, reason: str) -> None:
        self._failure = reason
        self._journal.emit(CheckpointFailed, step=step, uri=where, reason=reason, rank=rank)

    def _open(self) -> CheckpointRepository:
        if self._repository is None:
            self._repository = CheckpointRepository(open_store(self._root, CheckpointError))
        return self._repository
