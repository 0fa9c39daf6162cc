from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.spec.events import CheckpointCommitted, CheckpointFailed
from paceline.spec.job import JobSpec
from paceline.supervise.commit import Committer
from paceline.supervise.protocol import Assignment, NodeStatus, PersistedShard, Restore

Saved = Callable[..., PersistedShard]


@pytest.fixture
def job(make_job: Callable[..., JobSpec]) -> JobSpec:
    return make_job()


@pytest.fixture
def committer(job: JobSpec) -> Committer:
    return Committer(job, Journal(Path(job.journal), run="test", producer="coordinator"))


@pytest.fixture
def repository(job: JobSpec) -> CheckpointRepository:
    return CheckpointRepository(DirectoryStore(Path(job.checkpoints)))


def node(name: str, *persisted: PersistedShard) -> NodeStatus:
    return NodeStatus(
        node=name, host="h", process_group=1, peer_port=1, store_port=1, ready=True, persisted=tuple(persisted)
    )


def generation(number: int, restore_step: int = 0, workers_per_node: int = 1) -> Assignment:
    restore = Restore(source="memory", step=restore_step)
    return Assignment(generation=number, members=(), workers_per_node=workers_per_node, restore=restore, cause="x")


def look(committer: Committer, *statuses: NodeStatus, times: int = 1, now: Assignment | None = None) -> None:
    async def looking() -> None:
        for _ in range(times):
            committer.step(statuses, now or generation(0))
            while committer.busy:
                await asyncio.sleep(0)

    asyncio.run(looking())


def test_it_commits_once_every_rank_is_durable(
    committer: Committer, repository: CheckpointRepository, saved: Saved
) -> None:
    look(committer, node("a", saved(0, 4)), node("b"))
    assert repository.steps() == []
    look(committer, node("a", saved(0, 4)), node("b", saved(1, 4)))
    manifest = repository.manifest(4)
    assert [file.rank for file in manifest.files] == [0, 1]
    assert (committer.committed_step, committer.durable_step, manifest.parent) == (4, 4, None)
    assert manifest.model == {"model_type": "llama"}


def test_files_of_two_generations_never_make_one_checkpoint(
    committer: Committer, repository: CheckpointRepository, saved: Saved
) -> None:
    look(committer, node("a", saved(0, 4, 0)), node("b", saved(1, 4, 1)))
    assert repository.steps() == []
    look(committer, node("a", saved(0, 4, 0), saved(0, 4, 1)), node("b", saved(1, 4, 1)))
    assert [file.name for file in repository.manifest(4).files] == ["rank-0.1", "rank-1.1"]


def test_what_a_committed_checkpoint_has_overtaken_is_not_committed(
    committer: Committer, repository: CheckpointRepository, saved: Saved
) -> None:
    look(committer, node("a", saved(0, 8), saved(1, 8)))
    look(committer, node("a", saved(0, 4), saved(1, 4)))
    assert repository.steps() == [8]


def test_a_refused_manifest_is_reported_once_and_the_next_checkpoint_is_committed(
    committer: Committer, repository: CheckpointRepository, saved: Saved, job: JobSpec
) -> None:
    Path(job.checkpoints).mkdir()
    (Path(job.checkpoints) / "step-00000004").write_text("in the way")
    look(committer, node("a", saved(0, 4), saved(1, 4)), times=5)
    events = Follower(Path(job.journal)).poll()
    assert [(e.step, "File exists" in e.reason) for e in events if isinstance(e, CheckpointFailed)] == [(4, True)]
    assert "File exists" in committer.failure
    look(committer, node("a", saved(0, 4), saved(1, 4), saved(0, 8), saved(1, 8)))
    assert repository.steps() == [8]


def test_it_keeps_as_many_as_the_recipe_says_and_knows_its_parent(
    committer: Committer, repository: CheckpointRepository, saved: Saved, job: JobSpec
) -> None:
    for step in (4, 8, 12):
        look(committer, node("a", saved(0, step), saved(1, step)))
    assert repository.steps() == [12, 8]


def test_old_checkpoints_that_cannot_be_removed_cost_nothing(
    committer: Committer, saved: Saved, job: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: DirectoryStore, key: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(DirectoryStore, "delete", refuse)
    for step in (4, 8, 12):
        look(committer, node("a", saved(0, step), saved(1, step)))
    events = Follower(Path(job.journal)).poll()
    assert [e.step for e in events if isinstance(e, CheckpointCommitted)] == [4, 8, 12]


def test_a_successor_learns_the_newest_checkpoint_that_verifies(
    job: JobSpec, committer: Committer, repository: CheckpointRepository, saved: Saved
) -> None:
    file = repository.put_shard(4, 0, b"x", generation=0)
    other = repository.put_shard(4, 1, b"y", generation=0)
    shards = [saved(0, 4).model_copy(update={"file": file}), saved(1, 4).model_copy(update={"file": other})]
    look(committer, node("a", *shards))
    look(committer, node("a", saved(0, 8), saved(1, 8)))  # files that are not there
    successor = Committer(job, Journal(Path(job.journal), run="test", producer="successor"))
    successor.find_durable()
    assert (successor.knows_durable, successor.durable_step, successor.committed_step) == (True, 4, 4)


def test_who_was_cut_off_commits_nothing_once_a_later_generation_is_claimed(
    committer: Committer, repository: CheckpointRepository, saved: Saved, job: JobSpec
) -> None:
    other = Committer(job, Journal(Path(job.journal), run="test", producer="other"))
    look(committer, node("a", saved(0, 4), saved(1, 4)))
    look(other, node("c", saved(0, 6, 1), saved(1, 6, 1)), now=generation(1, 4))
    look(committer, node("a", saved(0, 8), saved(1, 8)))
    assert repository.steps() == [6, 4]
    assert "generation 1 has taken over from generation 0" in committer.failure


def test_of_two_generations_of_one_number_only_the_one_that_was_claimed_first_commits(
    committer: Committer, repository: CheckpointRepository, saved: Saved, job: JobSpec
) -> None:
    other = Committer(job, Journal(Path(job.journal), run="test", producer="other"))
    look(committer, node("a", saved(0, 4, 1), saved(1, 4, 1)), now=generation(1))
    look(other, node("c", saved(0, 6, 1), saved(1, 6, 1)), now=generation(1, workers_per_node=2))
    assert repository.steps() == [4]
    assert "another generation 1 is in force" in other.failure


def test_a_successor_commits_for_the_generation_that_its_predecessor_claimed(
    committer: Committer, repository: CheckpointRepository, saved: Saved, job: JobSpec
) -> None:
    async def opening() -> None:
        committer.claim_soon(generation(3))
        while repository.newest_claimed() != 3:
            await asyncio.sleep(0.01)

    asyncio.run(opening())
    successor = Committer(job, Journal(Path(job.journal), run="test", producer="successor"))
    successor.look_up_durable()
    assert successor.first_generation == 4
    look(successor, node("a", saved(0, 4, 3), saved(1, 4, 3)), now=generation(3))
    assert repository.steps() == [4]


def test_files_that_a_later_generation_went_back_behind_are_not_committed(
    committer: Committer, repository: CheckpointRepository, saved: Saved
) -> None:
    """A pair of nodes was cut off, trained on to step 8 and came back; the others had begun again from step 6."""
    files = (saved(0, 6), saved(1, 6), saved(0, 8), saved(1, 8))
    look(committer, node("a", *files), times=3, now=generation(1, 6))
    assert repository.steps() == [6]
