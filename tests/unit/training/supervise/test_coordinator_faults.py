"""What the coordinator decides when nodes and workers are lost, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.spec.events import FaultDetected, GenerationOpened, MembershipChanged
from tests.unit.training.supervise.nodes import shard

Stage = Any  # of conftest.py, which importlib mode does not let tests import


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
