"""Copy the live state of a rank into shared memory while the next step computes.

`begin` returns at once; a thread copies tensor by tensor (torch releases the interpreter lock while it copies). The
copy must be over before the optimizer changes the tensors: `wait` is the trainer's fence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from paceline.checkpoint.segment import Segment, SegmentHeader
from paceline.checkpoint.shard_file import Shard, ShardFileLayout, plan
from paceline.spec.manifest import TrainerState

if TYPE_CHECKING:
    from paceline.engines.base import LogicalShard

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_TORCH = {name: dtype for dtype, name in DTYPES.items()}


def describe(name: str, shard: LogicalShard) -> Shard:
    """The shard's place and type, without its values."""
    return Shard(
        name=name,
        dtype=DTYPES[shard.tensor.dtype],
        shape=tuple(shard.tensor.shape),
        global_shape=tuple(shard.global_shape),
        offset=tuple(shard.offset),
    )


def tensor_at(buffer: object, shard: Shard, start: int) -> torch.Tensor:
    """A tensor that looks at `shard`'s bytes in `buffer` (a writable mapping); empty shards get a fresh tensor."""
    if shard.bytes == 0:
        return torch.empty(shard.shape, dtype=_TORCH[shard.dtype])
    count = shard.bytes // _TORCH[shard.dtype].itemsize
    flat = torch.frombuffer(buffer, dtype=_TORCH[shard.dtype], count=count, offset=start)
    return flat.view(shard.shape)


class Snapshotter:
    """Takes turns between the segments of one rank.

    `ready(segment, header, seconds, persist)` is called from the copying thread when a snapshot is whole.
    """

    def __init__(
        self,
        state: Callable[[], Mapping[str, LogicalShard]],
        segments: tuple[Segment, Segment],
        *,
        generation: int,
        rank: int,
        world_size: int,
        next_segment: int,
        ready: Callable[[int, SegmentHeader, float, bool], None],
    ) -> None:
        self._state = state
        self._segments = segments
        self._generation = generation
        self._rank = rank
        self._world_size = world_size
        self._next = next_segment
        self._ready = ready
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")
        self._copying: Future[None] | None = None
        self._layout: ShardFileLayout | None = None

    def begin(self, trainer: TrainerState, *, persist: bool) -> None:
        """Start copying the state that holds after `trainer.step`; `persist` asks for a durable checkpoint of it."""
        self.wait()
        index, self._next = self._next, 1 - self._next
        self._copying = self._executor.submit(self._copy, index, trainer, persist)

    def wait(self) -> None:
        """Return when no copy is under way; a failed copy raises here."""
        if self._copying is not None:
            self._copying.result()
            self._copying = None

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def _copy(self, index: int, trainer: TrainerState, persist: bool) -> None:
        started = time.perf_counter()
        state = self._state()
        if self._layout is None:
            self._layout = plan(describe(name, shard) for name, shard in state.items())
        layout, segment = self._layout, self._segments[index]
        segment.begin(
            generation=self._generation,
            rank=self._rank,
            world_size=self._world_size,
            trainer=trainer,
            body_bytes=layout.total_bytes,
        )
        base, memory = segment.body_offset, segment.mapped()
        memory[base : base + len(layout.header)] = layout.header
        for shard, start in layout.shards:
            if shard.bytes:
                tensor_at(memory, shard, base + start).copy_(state[shard.name].tensor)
        header = segment.finish()
        self._ready(index, header, time.perf_counter() - started, persist)
