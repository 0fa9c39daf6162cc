"""Shared memory that holds one snapshot, owned by the node supervisor and outliving the workers.

A segment is an anonymous file in memory (memfd): it has no name, needs no /dev/shm, is passed on as a file descriptor
and is gone with the last process that holds it. Layout: a fixed header (what is inside, and whether it is whole), the
trainer state as JSON, then a shard file (shard_file.py).

The writer marks the header WRITING before it touches the content and READY after; whoever finds anything else than
READY, or another digest than the header says, must take another copy.
"""

from __future__ import annotations

import mmap
import os
import struct
import weakref
from dataclasses import dataclass
from typing import Self

import xxhash

from paceline.spec.manifest import TrainerState

EMPTY, WRITING, READY = 0, 1, 2
# magic, state, generation, rank, world size, step, trainer bytes, body bytes, digest
_HEADER = struct.Struct("<8sQqqqqQQ16s")
_MAGIC = b"PACELINE"
_TRAINER_AT = 4096
_BODY_AT = 64 * 1024
_MADV_POPULATE_WRITE = 23  # madvise(2); the mmap module has no name for it
_POPULATE_BYTES = 4 << 20  # the interpreter lock is held for so long at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentHeader:
    """What a segment says about itself. `digest` is hexadecimal XXH3-128 over trainer state and body."""

    state: int
    generation: int
    rank: int
    world_size: int
    step: int
    trainer_bytes: int
    body_bytes: int
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentContent:
    """A copy of what a segment holds."""

    trainer: TrainerState
    body: bytes


class Segment:
    """One snapshot's memory. Both sides map it through the same descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls, name: str) -> Self:
        """An empty segment; `name` is only what the kernel shows in /proc. It goes with the last reference to it."""
        segment = cls(os.memfd_create(name, 0))
        weakref.finalize(segment, os.close, segment.fd).atexit = False
        return segment

    def reserve(self, body_bytes: int) -> None:
        """Make room for a shard file of `body_bytes`."""
        size = _BODY_AT + body_bytes
        if os.fstat(self.fd).st_size < size:
            self._unmap()
            os.ftruncate(self.fd, size)

    def populate(self, body_bytes: int) -> None:
        """Have the pages for a shard file of `body_bytes` in memory before anything is written; no content changes."""
        self.reserve(body_bytes)
        memory = self.mapped()
        for start in range(0, len(memory), _POPULATE_BYTES):
            try:
                memory.madvise(_MADV_POPULATE_WRITE, start, min(_POPULATE_BYTES, len(memory) - start))
            except OSError:
                return  # before Linux 5.14, or short of memory: whoever writes finds the pages, later and slower

    def mapped(self) -> mmap.mmap:
        """The whole segment, mapped; mapped anew when it has grown."""
        size = os.fstat(self.fd).st_size
        if self._map is None or len(self._map) != size:
            self._unmap()
            self._map = mmap.mmap(self.fd, size)
        return self._map

    def _unmap(self) -> None:
        # not closed by hand: tensors and views may still look at it, the last of them lets it go
        self._map = None

    @property
    def body_offset(self) -> int:
        """Where the shard file starts in the mapping."""
        return _BODY_AT

    def header(self) -> SegmentHeader | None:
        """What is inside, or None when nothing was ever written."""
        if os.fstat(self.fd).st_size < _BODY_AT:
            return None
        magic, state, generation, rank, world, step, trainer, body, digest = _HEADER.unpack_from(self.mapped(), 0)
        if magic != _MAGIC:
            return None
        return SegmentHeader(
            state=state,
            generation=generation,
            rank=rank,
            world_size=world,
            step=step,
            trainer_bytes=trainer,
            body_bytes=body,
            digest=digest.hex(),
        )

    def body(self, body_bytes: int) -> memoryview:
        """The shard file."""
        return memoryview(self.mapped())[_BODY_AT : _BODY_AT + body_bytes]

    def trainer(self, header: SegmentHeader) -> TrainerState:
        return TrainerState.model_validate_json(self.mapped()[_TRAINER_AT : _TRAINER_AT + header.trainer_bytes])

    def begin(self, *, generation: int, rank: int, world_size: int, trainer: TrainerState, body_bytes: int) -> None:
        """Announce that the content is about to change."""
        text = trainer.model_dump_json().encode()
        if len(text) > _BODY_AT - _TRAINER_AT:
            raise ValueError(f"trainer state of {len(text)} bytes does not fit")
        self.reserve(body_bytes)
        fields = (generation, rank, world_size, trainer.step, len(text), body_bytes, bytes(16))
        _HEADER.pack_into(self.mapped(), 0, _MAGIC, WRITING, *fields)
        self.mapped()[_TRAINER_AT : _TRAINER_AT + len(text)] = text

    def finish(self) -> SegmentHeader:
        """Compute the digest over what is inside and declare it whole."""
        header = self.header()
        if header is None:
            raise ValueError("finish() before begin()")
        digest = self.compute_digest(header)
        fields = (
            header.generation,
            header.rank,
            header.world_size,
            header.step,
            header.trainer_bytes,
            header.body_bytes,
        )
        _HEADER.pack_into(self.mapped(), 0, _MAGIC, READY, *fields, digest)
        ready = self.header()
        assert ready is not None
        return ready

    def receive(
        self, *, generation: int, rank: int, world_size: int, trainer: TrainerState, body_bytes: int
    ) -> memoryview:
        """Room for a snapshot that is copied in from elsewhere; `finish` follows."""
        self.begin(generation=generation, rank=rank, world_size=world_size, trainer=trainer, body_bytes=body_bytes)
        return self.body(body_bytes)

    def invalidate(self) -> None:
        """Declare that nothing usable is inside."""
        if self.header() is not None:
            _HEADER.pack_into(self.mapped(), 0, _MAGIC, EMPTY, 0, 0, 0, 0, 0, 0, bytes(16))

    def compute_digest(self, header: SegmentHeader) -> bytes:
        """XXH3-128 over trainer state and body as they are now."""
        hasher = xxhash.xxh3_128()
        view = memoryview(self.mapped())
        hasher.update(view[_TRAINER_AT : _TRAINER_AT + header.trainer_bytes])
        hasher.update(view[_BODY_AT : _BODY_AT + header.body_bytes])
        return hasher.digest()

    def copy_out(self) -> SegmentContent | None:
        """A copy of the snapshot, compared with its digest; None when there is none or it differs."""
        header = self.header()
        if header is None or header.state != READY:
            return None
        text = self.mapped()[_TRAINER_AT : _TRAINER_AT + header.trainer_bytes]
        body = self._read(_BODY_AT, header.body_bytes)
        hasher = xxhash.xxh3_128(text)
        hasher.update(body)
        if hasher.hexdigest() != header.digest:
            return None
        return SegmentContent(trainer=TrainerState.model_validate_json(text), body=body)

    def _read(self, start: int, size: int) -> bytes:
        """A copy from the file, not the mapping: the kernel makes it while other threads go on, such as the one that
        reports that this node lives."""
        pieces = []
        while size and (piece := os.pread(self.fd, size, start)):  # at most 2 GiB at a time, see read(2)
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def is_whole(self) -> bool:
        """Whether the content is complete and matches its digest. Reads all of it."""
        header = self.header()
        return header is not None and header.state == READY and self.compute_digest(header).hex() == header.digest
