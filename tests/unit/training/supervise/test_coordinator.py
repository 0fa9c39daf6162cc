"""What the coordinator decides, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from paceline.spec.errors import StorageError
from paceline.spec.events import GenerationOpened
from paceline.spec.job import JobSpec
from paceline.supervise.coordinator import Coordinator
from paceline.supervise.ending import Ending
from paceline.supervise.protocol import Failure, PersistedShard
from tests.unit.training.supervise.nodes import shard

Stage = Any  # of conftest.py, which importlib mode does not let tests import


# ----- beginning -----------------------------------------------------------------------------------------------------


def test_it_listens_before_it_decides_and_then_opens_with_whom_is_ready(stage: Stage) -> None:
    stage.join()
    stage.wait(0.9)
    assert stage["a"].heard == []
    stage.wait(0.2)
    assert [m.node for m in stage["c"].assignment.members] == ["a", "b"]
    assert stage["a"].assignment.restore.source == "nothing"
    assert stage["a"].told.buddy_node == "b" and stage["c"].told.buddy is None


def test_it_waits_for_spares_but_not_for_ever(stage: Stage) -> None:
    stage.join("ab")
    stage.wait(19)
    assert stage["a"].told.assignment is None
    stage.wait(3)
    assert stage["a"].assignment.generation == 0


def test_a_spare_that_has_come_is_waited_for_until_its_standbys_are_ready(stage: Stage) -> None:
    """Imports from a cold disk may take longer than anybody waits for a spare that does not come."""
    stage.join()
    stage["c"].say(ready=False)
    stage.wait(60)
    assert stage["a"].told.assignment is None
    stage["c"].say(ready=True)
    assert [m.node for m in stage["c"].assignment.members] == ["a", "b"]


def test_a_spare_that_never_warms_up_does_not_keep_the_run_from_beginning(stage: Stage) -> None:
    stage.join()
    stage["c"].say(ready=False)
    stage.wait(stage.job.timeouts.membership + 2)
    assert stage.coordinator.ending is None and stage["a"].assignment.generation == 0


def test_too_few_nodes_end_the_run_with_their_reason(stage: Stage) -> None:
    stage.join("a")
    stage["a"].say(failure=Failure(message="shard 3 is altered"))
    stage.wait(stage.job.timeouts.membership + 1)
    assert stage.outcome == "failed"
    assert "0 of 2 nodes are ready; shard 3 is altered" in stage.reason


def test_nodes_that_can_never_serve_end_the_run_at_once(stage: Stage) -> None:
    stage.join()
    for name in "ab":
        stage[name].say(failure=Failure(message="shard 3 is altered", hint="upload it again"))
    stage.wait(1.1)
    assert (stage.outcome, stage.reason) == ("failed", "shard 3 is altered")


def test_a_run_that_cannot_know_what_it_saved_does_not_begin(
    make_job: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would train from the beginning and prune what it has."""
    clock = [0.0]
    coordinator = Coordinator(make_job(), "token", clock=lambda: clock[0])

    def unreachable() -> None:
        clock[0] += 5.0
        raise StorageError("s3://saved: cannot be reached", "check the network")

    monkeypatch.setattr(coordinator._committer, "find_durable", unreachable)
    asyncio.run(coordinator._learn_what_is_durable())
    assert coordinator.ending == Ending("failed", "s3://saved: cannot be reached", "check the network")


def test_a_run_that_trains_waits_until_storage_answers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.start()
    stage["a"].work(3)
    stage.replace_coordinator()
    committer, asked = stage.coordinator._committer, []
    committer.knows_durable = False

    def answers_the_second_time() -> None:
        asked.append(stage.now)
        if len(asked) == 1:
            raise StorageError("s3://saved: cannot be reached")
        committer.knows_durable = True

    async def at_once(seconds: float) -> None: ...

    monkeypatch.setattr(committer, "look_up_durable", answers_the_second_time)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    stage["a"].say()
    stage.now += 2.0
    asyncio.run(stage.coordinator._learn_what_is_durable())
    assert len(asked) == 2
    assert stage.coordinator.ending is None


# ----- successors ----------------------------------------------------------------------------------------------------


def test_a_successor_goes_on_with_what_the_nodes_follow(stage: Stage) -> None:
    stage.start()
    for name in "abc":
        stage[name].work(3)
    stage.replace_coordinator()
    stage.wait(3.0)
    assert stage["a"].assignment.generation == 0
    assert len(stage.events(GenerationOpened)) == 1
    assert stage["a"].told.buddy_node == "b"


def test_a_successor_does_not_release_trainers_from_their_buddies_before_it_knows_them(stage: Stage) -> None:
    stage.start()
    for name in "abc":
        stage[name].work(3)
    stage.replace_coordinator()
    heard = len(stage["a"].heard)
    stage["a"].say()
    stage.wait(0.5, but="b")
    assert len(stage["a"].heard) == heard


def test_a_successor_that_comes_while_a_node_is_lost_heals(stage: Stage) -> None:
    stage.start()
    for name in "abc":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.replace_coordinator()
    stage.wait(1.5, but="b")
    assert [m.node for m in stage["a"].assignment.members] == ["a", "c"]
    assert stage["a"].assignment.generation == 1


# ----- stopping ------------------------------------------------------------------------------------------------------


def test_stop_before_training_began(stage: Stage) -> None:
    stage.join("a")
    stage.coordinator.request_stop()
    stage.wait(1.1)
    assert (stage.outcome, stage.reason) == ("stopped", "stopped before training began")


def test_stop_does_not_wait_for_storage_that_does_not_answer(stage: Stage) -> None:
    stage.coordinator._committer.knows_durable = False
    stage.join()
    stage.coordinator.request_stop()
    stage.wait(1.1)
    assert stage.outcome == "stopped"


def test_stop_during_recovery(stage: Stage) -> None:
    stage.start()
    stage["a"].work(7)
    stage.coordinator.request_stop()
    stage.cut("b")
    assert (stage.outcome, stage.reason) == ("stopped", "stopped while healing (node lost: b)")


def test_stop_twice_ends_at_once(stage: Stage) -> None:
    stage.start()
    stage.coordinator.request_stop()
    assert stage.coordinator.ending is None
    assert [stage[n].told.stop for n in "abc"] == ["drain"] * 3
    stage.coordinator.request_stop()
    assert (stage.outcome, stage.reason) == ("stopped", "interrupted")


# ----- the end -------------------------------------------------------------------------------------------------------


def finish(stage: Stage, step: int = 12) -> None:
    for name in "ab":
        stage[name].work(step, state="completed", uploading=1)


def test_it_ends_when_the_last_checkpoint_is_durable(stage: Stage, saved: Callable[..., PersistedShard]) -> None:
    async def end() -> None:
        finish(stage)
        assert stage.coordinator.ending is None
        for rank, name in enumerate("ab"):
            stage[name].say(uploading=0, persisted=(saved(rank, 12),))
        while stage.coordinator._committer.busy:
            await asyncio.sleep(0)
        stage.coordinator.step()

    stage.start()
    asyncio.run(end())
    assert stage.outcome == "completed"
    assert stage.coordinator._committer.committed_step == 12


def test_an_upload_that_failed_ends_the_run_at_once_and_says_so(stage: Stage) -> None:
    stage.start()
    finish(stage)
    stage["a"].say(uploading=0)
    assert stage.coordinator.ending is None
    stage["b"].say(uploading=0)
    assert stage.outcome == "failed"
    assert "checkpoint of the last step 12 could not be saved" in stage.reason


def test_an_upload_that_hangs_is_waited_for_no_longer_than_the_drain(stage: Stage) -> None:
    stage.start()
    finish(stage)
    stage.wait(stage.job.timeouts.drain - 1)
    assert stage.coordinator.ending is None
    stage.wait(2)
    assert stage.outcome == "failed"


def test_a_node_lost_with_its_part_of_the_last_checkpoint_is_healed(stage: Stage) -> None:
    stage.start()
    finish(stage)
    stage["a"].say(held=(shard(0, 12), shard(1, 12)))
    stage.cut("b")
    assert stage.coordinator.ending is None
    assert (stage["c"].assignment.generation, stage["c"].assignment.restore.step) == (1, 12)
