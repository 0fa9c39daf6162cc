from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.segment import Segment
from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.spec.events import CheckpointFailed, CheckpointPersisted
from paceline.spec.manifest import CheckpointFile, TrainerState
from paceline.supervise.persist import Persister


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", run="test", producer="node-0", node="node-0")


def segment(step: int, content: bytes = b"state") -> Segment:
    made = Segment.create("test")
    trainer = TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64)
    made.receive(generation=3, rank=1, world_size=2, trainer=trainer, body_bytes=len(content))[:] = content
    made.finish()
    return made


async def upload(persister: Persister, *segments: Segment) -> None:
    for each in segments:
        persister.start(each)
        await persister.released(each)
        each.begin(  # the trainer goes on
            generation=9,
            rank=9,
            world_size=2,
            trainer=TrainerState(step=9, tokens=9, next_index=9, ledger="9" * 64),
            body_bytes=1,
        )
        while persister.uploading > 1:
            await asyncio.sleep(0)
    while persister.uploading:
        await asyncio.sleep(0)


def test_what_is_durable_is_what_the_segment_held(tmp_path: Path, journal: Journal) -> None:
    changes: list[int] = []
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: changes.append(persister.uploading))
    asyncio.run(upload(persister, segment(4)))
    [shard] = persister.persisted
    assert (shard.step, shard.generation, shard.file.rank) == (4, 3, 1)
    assert (tmp_path / "checkpoints" / "step-00000004" / shard.file.name).read_bytes() == b"state"
    assert changes == [0], "whoever is told of the end finds the file listed"
    [event] = Follower(tmp_path / "journal").poll()
    assert isinstance(event, CheckpointPersisted) and event.sha256 == shard.file.sha256
    assert persister.seconds == event.seconds > 0


def test_what_is_committed_or_overtaken_is_forgotten(tmp_path: Path, journal: Journal) -> None:
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: None)
    asyncio.run(upload(persister, segment(4), segment(8), segment(12)))
    persister.committed(8)
    assert [shard.step for shard in persister.persisted] == [12]


def test_what_an_earlier_generation_saved_after_the_step_that_a_later_one_began_from_is_not_committed(
    tmp_path: Path, journal: Journal
) -> None:
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: None)
    asyncio.run(upload(persister, segment(4), segment(8)))
    persister.forget_after(4, generation=4)
    persister.forget_after(20, generation=5)
    assert [shard.step for shard in persister.persisted] == [4]


def test_a_failed_upload_is_reported_and_costs_nothing_else(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "checkpoints").write_text("a file, not a directory")
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: None)
    asyncio.run(upload(persister, segment(4)))
    assert persister.persisted == ()
    [event] = Follower(tmp_path / "journal").poll()
    assert isinstance(event, CheckpointFailed)
    assert (event.step, event.rank) == (4, 1)
    assert "Error" in event.reason and "checkpoints" in event.reason
    assert persister.failure == event.reason, "what the coordinator is told is what the journal holds"


def test_a_place_that_cannot_be_opened_is_reported(tmp_path: Path, journal: Journal) -> None:
    persister = Persister("ftp://elsewhere", journal, lambda: None)
    asyncio.run(upload(persister, segment(4)))
    [event] = Follower(tmp_path / "journal").poll()
    assert isinstance(event, CheckpointFailed) and "not a place that can hold files" in event.reason


def test_a_snapshot_that_is_damaged_in_memory_does_not_become_durable(tmp_path: Path, journal: Journal) -> None:
    damaged = segment(4)
    damaged.body(5)[0] ^= 1
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: None)
    asyncio.run(upload(persister, damaged))
    assert persister.persisted == ()
    [event] = Follower(tmp_path / "journal").poll()
    assert isinstance(event, CheckpointFailed) and "damaged" in event.reason


def test_where_storage_is_slow_the_newest_waits_and_the_one_before_it_is_given_up(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    put = CheckpointRepository.put_shard

    def slow(self: CheckpointRepository, step: int, rank: int, content: bytes, *, generation: int) -> CheckpointFile:
        assert gate.wait(20)
        return put(self, step, rank, content, generation=generation)

    monkeypatch.setattr(CheckpointRepository, "put_shard", slow)
    persister = Persister(str(tmp_path / "checkpoints"), journal, lambda: None)

    async def scene() -> None:
        for step in (4, 8, 12):
            persister.start(made := segment(step))
            await persister.released(made)
            await asyncio.sleep(0)
        while persister.uploading > 2:
            await asyncio.sleep(0)
        gate.set()
        while persister.uploading:
            await asyncio.sleep(0)

    asyncio.run(scene())
    assert [shard.step for shard in persister.persisted] == [4, 12]
    [failed] = [e for e in Follower(tmp_path / "journal").poll() if isinstance(e, CheckpointFailed)]
    assert failed.step == 8 and "storage is slower" in failed.reason
