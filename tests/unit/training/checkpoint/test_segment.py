from __future__ import annotations

import os

from paceline.checkpoint.segment import READY, WRITING, Segment
from paceline.spec.manifest import TrainerState

TRAINER = TrainerState(step=7, tokens=70, next_index=14, ledger="0" * 64)


def written(content: bytes) -> Segment:
    segment = Segment.create("test")
    segment.receive(generation=2, rank=3, world_size=4, trainer=TRAINER, body_bytes=len(content))[:] = content
    segment.finish()
    return segment


def test_a_fresh_segment_holds_nothing() -> None:
    segment = Segment.create("test")
    assert segment.header() is None
    assert not segment.is_whole()


def test_what_is_written_is_seen_through_another_mapping_of_the_same_memory() -> None:
    segment = written(b"abc" * 1000)
    other = Segment(os.dup(segment.fd))
    header = other.header()
    assert header is not None and header.state == READY
    assert (header.generation, header.rank, header.step) == (2, 3, 7)
    assert bytes(other.body(header.body_bytes)) == b"abc" * 1000
    assert other.trainer(header) == TRAINER
    assert other.is_whole()


def test_a_snapshot_that_was_never_finished_does_not_count() -> None:
    segment = written(b"old")
    segment.begin(generation=2, rank=3, world_size=4, trainer=TRAINER, body_bytes=3)
    header = segment.header()
    assert header is not None and header.state == WRITING
    assert not segment.is_whole()


def test_one_altered_bit_is_found() -> None:
    segment = written(b"x" * 4096)
    segment.body(4096)[1234] ^= 1
    assert not segment.is_whole()


def test_a_segment_grows_and_keeps_no_trace_of_smaller_content() -> None:
    segment = written(b"a")
    segment.receive(generation=3, rank=3, world_size=4, trainer=TRAINER, body_bytes=1 << 20)[:] = b"b" * (1 << 20)
    header = segment.finish()
    assert header.body_bytes == 1 << 20
    assert segment.is_whole()


def test_invalidate_forgets() -> None:
    segment = written(b"a")
    segment.invalidate()
    assert not segment.is_whole()
