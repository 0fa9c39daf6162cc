"""What the coordinator decides, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from paceline.spec.errors import StorageError
from paceline.spec.events import FaultDetected, GenerationOpened, MembershipChanged
from paceline.spec.job import JobSpec
from paceline.supervise.coordinator import Coordinator
from paceline.supervise.ending import Ending
from paceline.supervise.protocol import Failure, HeldShard, PersistedShard

Stage = Any  # of conftest.py, which importlib mode does not let tests import


def shard(rank: int, step: int, generation: int = 0) -> HeldShard:
    return HeldShard(
        rank=rank, world_size=2, step=step, generation=generation, bytes=1, digest=f"{rank}/{step}/{generation}"
    )


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


# ----- faults --------------------------------------------------------------------------------------------------------


def test_a_lost_node_is_replaced_from_memory(stage: Stage) -> None:
    stage.start()
    stage["a"].work(7, held=(shard(0, 7), shard(1, 7)))
    stage["b"].work(7)
    stage.cut("b")
    assignment = stage["a"].assignment
    assert [(m.node, m.first_rank) for m in assignment.members] == [("a", 0), ("c", 1)]
    assert (assignment.generation, assignment.restore.source, assignment.restore.step) == (1, "memory", 7)
    assert stage.events(GenerationOpened)[1].lost_nodes == ("b",)


def test_what_is_in_memory_is_asked_for_after_the_fault(stage: Stage) -> None:
    """What a survivor told before may be overwritten: a step that all had copied by then can have been taken since."""
    stage.start()
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7), shard(0, 8)))
    stage.mute = "a"
    stage["b"].work(9, state="failed")
    assert (stage["a"].told.roll_call, stage["a"].assignment.generation) == (0, 0)
    stage["a"].work(9, held=(shard(0, 8), shard(1, 8), shard(0, 9)))
    assert (stage["a"].assignment.restore.source, stage["a"].assignment.restore.step) == ("memory", 8)


def test_who_does_not_answer_after_a_fault_is_lost_too(stage: Stage) -> None:
    stage.start()
    stage.join("d")
    stage.coordinator._committer.durable_step = 4
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.mute = "a"
    stage["b"].work(7, state="failed")
    stage.wait(stage.job.timeouts.node_lost - 0.5, but="a")
    assert stage["c"].assignment.generation == 0
    stage.wait(1.0, but="a")
    assert [m.node for m in stage["c"].assignment.members] == ["c", "b"]
    assert (stage["c"].assignment.restore.source, stage["c"].assignment.restore.step) == ("memory", 7)


def test_a_coordinator_that_dies_after_its_roll_call_is_followed_by_one_that_heals(stage: Stage) -> None:
    stage.start()
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.mute = "a"
    stage["b"].work(7, state="failed")
    assert (stage["b"].status.roll_call, stage["c"].assignment.generation) == (0, 0)
    stage.replace_coordinator()
    stage.wait(2.0)
    assert (stage["a"].assignment.generation, stage["a"].assignment.restore.step) == (1, 7)


def test_a_fault_before_the_first_snapshot_begins_anew(stage: Stage) -> None:
    stage.start()
    stage["a"].work(0)
    stage.cut("b")
    assert (stage["a"].assignment.restore.source, stage["a"].assignment.restore.step) == ("nothing", 0)


def test_a_connection_that_comes_back_in_time_is_no_fault(stage: Stage) -> None:
    stage.start()
    stage["b"].work(3)
    stage.coordinator._roster.hang_up("b", stage["b"])
    stage.coordinator.step()
    stage.now += 0.05
    stage["b"].say()
    stage.wait(1.0)
    assert stage["a"].assignment.generation == 0
    assert stage.events(FaultDetected) == []


def test_a_spare_that_dies_while_it_is_promoted_is_replaced(stage: Stage) -> None:
    """The survivor's crew was used up for a generation that never began: it is waited for."""
    stage.start()
    stage.join("d")
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.cut("b")
    assert stage["a"].assignment.member("c") is not None
    stage["a"].work(7, ready=False, store_port=None)
    stage.cut("c")
    assert stage["a"].assignment.generation == 1
    stage.wait(3.0)
    stage["a"].say(ready=True, store_port=3)
    assert [m.node for m in stage["a"].assignment.members] == ["a", "d"]
    assert (stage["a"].assignment.generation, stage["a"].assignment.restore.step) == (2, 7)
    assert [e.lost_nodes for e in stage.events(GenerationOpened)] == [(), ("b",), ("c",)]


def test_a_second_node_lost_during_recovery_leaves_the_durable_checkpoint(stage: Stage) -> None:
    stage.start()
    stage.join("d")
    stage.coordinator._committer.durable_step = 4
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.cut("ab")
    assert stage["c"].assignment.generation == 0, "whether a and b are dead, or only unheard, nobody knows yet"
    stage.wait(stage.job.timeouts.lease)
    assignment = stage["c"].assignment
    assert [m.node for m in assignment.members] == ["c", "d"]
    assert (assignment.restore.source, assignment.restore.step) == ("manifest", 4)


def test_a_durable_checkpoint_that_cannot_be_restored_is_read_before_it_is_taken_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was whole when it was saved, and has rotted since."""
    committer, reads = stage.coordinator._committer, []

    def verify() -> None:
        reads.append(committer.durable_step)
        committer.durable_step, committer.is_verified = 2, True

    monkeypatch.setattr(committer, "verify_durable", verify)
    stage.start()
    stage.join("d")
    committer.durable_step = 4
    stage.cut("ab")
    stage.wait(stage.job.timeouts.lease)
    for name in "cd":
        assert stage[name].assignment.restore.step == 4
        stage[name].work(4, state="failed")
    stage.wait(0.3)
    assert (stage["c"].assignment.restore.source, stage["c"].assignment.restore.step) == ("manifest", 2)
    assert reads == [4]


def test_a_node_that_falls_silent_is_lost_and_follows_when_it_comes_back(stage: Stage) -> None:
    """As a supervisor under SIGSTOP: its connection stays open."""
    stage.start()
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.wait(stage.job.timeouts.node_lost + 0.5, but="b")
    assert stage["a"].assignment.generation == 1
    assert stage["b"].assignment.generation == 1, "it finds the directive when it wakes"
    stage["b"].say()
    stage["b"].work(0)
    assert [e.state for e in stage.events(MembershipChanged) if e.node == "b"] == ["joined", "active", "lost", "spare"]


def test_a_bug_ends_the_run_even_when_a_lost_node_was_further(stage: Stage) -> None:
    """The last report of a node that was lost in an earlier generation is no progress of this one."""
    stage.start()
    held = (shard(0, 7), shard(1, 7))
    stage["a"].work(7, held=held)
    stage["b"].work(8, held=held)
    stage.cut("b")
    for generation in (1, 2, 3):
        assert stage["a"].assignment.generation == generation
        stage["a"].work(7)
        stage["c"].work(7, state="failed")
        stage.wait(0.3)
    assert stage.outcome == "failed"
    assert "c: failed 3 times at the same step: boom" in stage.reason


def test_a_late_report_of_a_supervisor_that_was_replaced_says_nothing(stage: Stage) -> None:
    stage.start()
    former = stage["b"]
    stage.join("b")
    assert not stage.coordinator.hear(former.status, former), "nor does it renew its lease"
    stage.wait(0.5)
    assert stage.coordinator._roster.views()["b"].status == stage["b"].status


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
