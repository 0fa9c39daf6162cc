"""Give every snapshot of this node a second copy in the memory of its buddy, and let the trainers go on then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from paceline.checkpoint.segment import Segment
from paceline.journal.writer import Journal
from paceline.spec.events import SnapshotReplicated
from paceline.supervise import peer
from paceline.supervise.crew import Crew
from paceline.supervise.memory import NodeMemory, age
from paceline.supervise.process import guarded
from paceline.supervise.protocol import Address, SnapshotSafe

_RETRY_SECONDS = 0.1


class Replicator:
    """The copies of one node that are under way, at most one per local rank: the newest. `released(segment)` returns
    when nobody else reads the segment, so that the trainer may write into it again."""

    def __init__(
        self, memory: NodeMemory, journal: Journal, token: str, released: Callable[[Segment], Awaitable[None]]
    ) -> None:
        self._memory = memory
        self._journal = journal
        self._token = token
        self._released = released
        self._copying: dict[int, asyncio.Task[None]] = {}
        self.buddy: Address | None = None
        self.buddy_node: str | None = None

    def start(self, crew: Crew, local_rank: int, segment: Segment) -> None:
        """Copy `segment` of `crew`'s worker `local_rank`, and tell the worker when that is done."""
        if (running := self._copying.pop(local_rank, None)) is not None:
            running.cancel()
        self._copying[local_rank] = guarded(self._copy(crew, local_rank, segment))

    def start_newest(self, crew: Crew) -> None:
        """A new buddy has nothing yet: give it the newest snapshot of every local rank."""
        for local_rank, pair in enumerate(self._memory.own):
            newest = max(pair, key=age)
            if age(newest) >= 0:
                self.start(crew, local_rank, newest)

    def stop(self) -> None:
        """Tell nobody any more that a snapshot is safe."""
        for copying in self._copying.values():
            copying.cancel()
        self._copying.clear()

    async def _copy(self, crew: Crew, local_rank: int, segment: Segment) -> None:
        """Try until it is there: the trainer waits. A new buddy or a new generation cancels this."""
        header = segment.header()
        assert header is not None
        started = asyncio.get_running_loop().time()
        while self.buddy is not None:
            try:
                await asyncio.to_thread(peer.hold, self.buddy, segment, self._token)
            except peer.PeerError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._journal.emit(
                SnapshotReplicated,
                step=header.step,
                to_node=self.buddy_node or "",
                bytes=header.body_bytes,
                seconds=asyncio.get_running_loop().time() - started,
                rank=header.rank,
            )
            break
        await self._released(segment)
        crew.send(local_rank, SnapshotSafe(step=header.step))
