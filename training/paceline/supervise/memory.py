"""The memory tier of one node: the segments of its own ranks, and the copies it keeps for its buddy.

Two segments per rank: while one is written, the other holds the last whole snapshot. A segment that says READY counts
as held; its digest is checked by whoever takes it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from paceline.checkpoint.segment import READY, Segment, SegmentHeader
from paceline.supervise.protocol import HeldShard

Pair = tuple[Segment, Segment]


class NodeMemory:
    """All snapshots that a node holds. Safe to use from several threads."""

    def __init__(self, node: str, workers_per_node: int) -> None:
        self._node = node
        self._lock = threading.Lock()
        self.own: list[Pair] = [self._pair(f"own{i}") for i in range(workers_per_node)]
        self._copies: dict[int, Pair] = {}
        self._unused: list[Pair] = []
        self._room = 0
        self._receiving: Counter[int] = Counter()

    def _pair(self, name: str) -> Pair:
        first, second = (Segment.create(f"paceline-{self._node}-{name}-{half}") for half in "ab")
        return first, second

    def held(self) -> list[HeldShard]:
        """What is whole, newest first."""
        shards = [
            HeldShard(
                rank=h.rank,
                world_size=h.world_size,
                step=h.step,
                generation=h.generation,
                bytes=h.body_bytes,
                digest=h.digest,
            )
            for _, h in self._ready()
        ]
        return sorted(shards, key=lambda s: (-s.step, s.rank))

    def find(self, rank: int, step: int, digest: str) -> Segment | None:
        """The segment with this snapshot."""
        return next((s for s, _ in self._ready() if is_snapshot(s, rank, step, digest)), None)

    def find_copy(self, rank: int, step: int, digest: str) -> Segment | None:
        """The same among the copies, which only their buddies write."""
        with self._lock:
            pair = self._copies.get(rank, ())
        return next((segment for segment in pair if is_snapshot(segment, rank, step, digest)), None)

    def copy_target(self, rank: int) -> Segment:
        """The segment that the next copy of `rank` may overwrite: never the newest whole one."""
        with self._lock:
            pair = self._copies.get(rank)
            if pair is None:
                pair = self._unused.pop() if self._unused else self._pair(f"copy{rank}")
                self._copies[rank] = pair
        return min(pair, key=age)

    def make_room(self, body_bytes: int) -> None:
        """Find the memory in which this node, as a spare, will receive when it takes over: a snapshot of each of its
        ranks, and one of a buddy's for each. Fresh pages take several times as long as the transfer into them."""
        with self._lock:
            missing, self._room = body_bytes > self._room, max(body_bytes, self._room)
            while missing and len(self._unused) < len(self.own):
                self._unused.append(self._pair(f"spare{len(self._unused)}"))
            targets = [min(pair, key=age) for pair in (*self.own, *self._unused)] if missing else []
        for segment in targets:
            segment.populate(body_bytes)

    @contextmanager
    def receiving(self, rank: int) -> Iterator[Segment]:
        """The copy target of `rank`, which nobody gives back meanwhile."""
        with self._lock:
            self._receiving[rank] += 1
        try:
            yield self.copy_target(rank)
        finally:
            with self._lock:
                self._receiving[rank] -= 1

    def free_up_to(self, step: int) -> None:
        """Give back the copies of all ranks of which none is newer than `step`: nobody will ask for them."""
        with self._lock:
            for rank, pair in list(self._copies.items()):
                if not self._receiving[rank] and max(map(age, pair)) <= step:
                    del self._copies[rank]

    def restore_target(self, local_rank: int) -> int:
        """Which own segment of `local_rank` may be overwritten by a snapshot that is brought in."""
        pair = self.own[local_rank]
        return min((0, 1), key=lambda index: age(pair[index]))

    def forget_after(self, step: int) -> None:
        """Drop snapshots newer than `step`: a generation went back behind them."""
        for segment, header in self._ready():
            if header.step > step:
                segment.invalidate()

    def _ready(self) -> list[tuple[Segment, SegmentHeader]]:
        with self._lock:
            segments = [s for pair in [*self.own, *self._copies.values()] for s in pair]
        headers = ((segment, segment.header()) for segment in segments)
        return [(segment, header) for segment, header in headers if header is not None and header.state == READY]


def age(segment: Segment) -> int:
    """The step of the whole snapshot inside, or -1."""
    header = segment.header()
    return header.step if header is not None and header.state == READY else -1


def is_snapshot(segment: Segment, rank: int, step: int, digest: str) -> bool:
    """Whether the whole snapshot inside says that it is this one."""
    header = segment.header()
    held = header is not None and header.state == READY
    return held and header is not None and (header.rank, header.step, header.digest) == (rank, step, digest)


def older(pair: Pair, in_use: int) -> int:
    """Which half of `pair` may be written next: not the one `in_use`; if that is -1, the older one."""
    return 1 - in_use if in_use >= 0 else min((0, 1), key=lambda index: age(pair[index]))
