"""From which checkpoint a step is computed again, what must come out, and when it cannot be done."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.launch.hermetic import surroundings
from paceline.launch.replay import Plan, StepBits, note, plan
from paceline.spec.errors import JournalError
from paceline.spec.events import AnyEvent, DataConsumed, GenerationOpened, SnapshotTaken, StepFinished
from paceline.spec.hermetic import HermeticManifest
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointManifest, TrainerState

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HASH = hashlib.sha256(b"").hexdigest()


def part(first_generation: int = 0, **recipe: Any) -> HermeticManifest:
    job = JobSpec(
        run="test",
        recipe=recipe,
        recipe_sha256=HASH,
        nodes=2,
        dataset="file:///data",
        data_order=HASH,
        vocabulary=61,
        checkpoints="/checkpoints",
        journal="/journal",
        coordinator_port=1,
        first_generation=first_generation,
    )
    return HermeticManifest(created=NOW, job=job, dataset_sha256=HASH, dataset_files=(), surroundings=surroundings({}))


def said(generation: int) -> dict[str, Any]:
    return {"time": NOW, "monotonic_ns": 0, "run": "test", "producer": "test", "generation": generation}


def opened(generation: int, nodes: int = 2) -> GenerationOpened:
    ranks = {f"node-{number}": number for number in range(nodes)}
    return GenerationOpened(
        **said(generation), ranks=ranks, world_size=nodes, cause="start", restore_from="nothing", restore_step=0
    )


def step(generation: int, number: int, loss: float = 1.0) -> list[AnyEvent]:
    figures = {"seconds": 1.0, "data_seconds": 0.0, "checkpoint_seconds": 0.0}
    return [
        StepFinished(
            **said(generation), **figures, step=number, loss=loss, tokens=1, learning_rate=0.1, gradient_norm=2.0
        ),
        DataConsumed(**said(generation), step=number - 1, first_index=0, count=1, digest="d", head=f"head {number}"),
        SnapshotTaken(**said(generation), rank=1, step=number, bytes=1, seconds=0.0, digest=f"state {loss}"),
    ]


def steps(generation: int, *numbers: int) -> list[AnyEvent]:
    return [event for number in numbers for event in step(generation, number)]


@pytest.fixture
def repository(tmp_path: Path) -> CheckpointRepository:
    """It has checkpoints after steps 4 and 6, of which the second is damaged."""
    repository = CheckpointRepository(DirectoryStore(tmp_path))
    for number in (4, 6):
        file = repository.put_shard(number, 0, b"content", generation=0)
        repository.commit(
            CheckpointManifest(
                run="test",
                created=NOW,
                step=number,
                recipe_sha256=HASH,
                image_digest=None,
                data_order=HASH,
                world_size=1,
                layout={},
                trainer=TrainerState(step=number, tokens=0, next_index=0, ledger=HASH),
                files=(file,),
            )
        )
    (tmp_path / "step-00000006" / file.name).write_bytes(b"altered")
    return repository


def test_it_begins_at_the_newest_checkpoint_before_the_step_that_verifies(repository: CheckpointRepository) -> None:
    events = [opened(0), *steps(0, *range(1, 9))]
    assert plan([part()], events, repository, 8).start == 4
    assert plan([part()], events, repository, 4).start == 0


def test_what_stayed_of_a_step_that_was_taken_twice_is_recorded(repository: CheckpointRepository) -> None:
    events = [opened(0), *step(0, 5, loss=7.0), opened(1), *step(1, 5, loss=3.0)]
    known = plan([part()], [*events, *step(0, 5, loss=9.0)], repository, 5).recorded[5]
    assert known.figures() == {
        "loss": 3.0,
        "gradient_norm": 2.0,
        "learning_rate": 0.1,
        "batch": "d",
        "ledger": "head 5",
        "state of rank 1": "state 3.0",
    }


def test_the_part_of_the_run_that_took_the_step_is_replayed(repository: CheckpointRepository) -> None:
    events = [opened(0), *steps(0, 1, 2, 3), opened(2), *steps(2, 5)]
    parts = [part(0, seed=1), part(2, seed=2)]
    assert plan(parts, events, repository, 5).manifest is parts[1]
    assert plan(parts, events, repository, 3).manifest is parts[0]


@pytest.mark.parametrize(
    ("events", "wanted", "why"),
    [
        ([opened(0), *steps(0, 1, 2)], 3, "does not record it"),
        ([opened(0), *steps(0, 1, 3)], 3, "does not record step 2"),
        ([opened(0, 1), *steps(0, 1), opened(1, 2), *steps(1, 2)], 2, "by 2 ranks, step 1 by 1"),
        ([opened(0), *steps(0, 1), opened(2), *steps(2, 2)], 2, "another recipe than step 1"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    repository: CheckpointRepository, events: list[AnyEvent], wanted: int, why: str
) -> None:
    with pytest.raises(JournalError, match=why):
        plan([part(0, seed=1), part(2, seed=2)], events, repository, wanted)


def replayed(chosen: Plan, **losses: float) -> dict[int, StepBits]:
    found: dict[int, StepBits] = {}
    for number in chosen.recorded:
        for event in step(0, number, loss=losses.get(f"step_{number}", 1.0)):
            note(found, event)
    return found


def test_the_first_different_figure_is_named(repository: CheckpointRepository) -> None:
    chosen = plan([part()], [opened(0), *steps(0, 1, 2, 3)], repository, 3)
    assert chosen.difference(replayed(chosen)) is None
    found = chosen.difference(replayed(chosen, step_2=1.0000000000000002))
    assert found is not None
    assert (found.step, found.figure, found.recorded, found.replayed) == (2, "loss", 1.0, 1.0000000000000002)


def test_it_is_answered_when_every_recorded_figure_is_there(repository: CheckpointRepository) -> None:
    chosen = plan([part()], [opened(0), *steps(0, 1, 2)], repository, 2)
    found = replayed(chosen)
    assert chosen.is_answered(found)
    del found[2].state[1]
    assert not chosen.is_answered(found)
