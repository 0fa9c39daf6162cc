"""What the coordinator does when a generation hangs, and when the world should change: in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.spec.events import ActionDecided, FaultDetected, HangJudged, MembershipChanged
from paceline.spec.job import JobSpec
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import (
    HeldShard,
    Inspection,
    PersistedShard,
    RankEvidence,
    RankProgress,
    Work,
    WorkersStatus,
)
from tests.unit.training.supervise.nodes import shard

Stage = Any  # of conftest.py, which importlib mode does not let tests import


# ----- hangs ---------------------------------------------------------------------------------------------------------

STACK = 'Current thread 0x1 (most recent call first):\n  File "/src/user.py", line 7 in spin\n'


def working(stage: Stage, step: int, idle: float = 0.0, *, answer: bool = False, stack: str = STACK) -> None:
    """Nodes a and b are at `step`, where nothing has changed for `idle`; with `answer` they say what their ranks do."""
    for number, name in enumerate("ab"):
        node = stage[name]
        generation = node.assignment.generation
        rank = RankProgress(rank=number, step=step, phase=Phase.FORWARD_BACKWARD, idle_seconds=idle)
        start = 0.1 if step else None
        workers = WorkersStatus(generation=generation, state="running", step=step, start_seconds=start, ranks=(rank,))
        text = stack if number else ""
        seen = RankEvidence(**rank.model_dump(), node=name, process_state="TS"[1 - number], stacks=text)
        inspection = Inspection(generation=generation, ranks=(seen,)) if answer else None
        node.say(following=node.assignment, workers=workers, inspection=inspection)


def train_a_few(stage: Stage) -> None:
    for step in range(5):
        working(stage, step)
        stage.now += 0.1


def test_a_hang_is_inspected_judged_and_ends_the_generation(stage: Stage) -> None:
    stage.start()
    train_a_few(stage)
    working(stage, 4, idle=4.9)
    assert stage["a"].told.inspect is None
    working(stage, 4, idle=5.1)
    told = stage["a"].told
    assert told.inspect == 0 and stage["a"].assignment.generation == 0
    working(stage, 4, idle=5.3, answer=True)
    assert stage["a"].assignment.generation == 1
    [verdict] = stage.events(HangJudged)
    assert (verdict.guilty_node, verdict.guilty_rank, verdict.fault_class) == ("b", 1, "worker_stopped")
    assert "spin" in Path(str(verdict.evidence)).read_text()
    [fault] = stage.events(FaultDetected)
    assert (fault.fault, fault.target) == ("hang", "b") and "no progress for 5.3 s" in fault.evidence


def test_a_hang_that_was_there_before_the_coordinator_is_judged_by_the_steps_of_the_past(stage: Stage) -> None:
    stage.start()
    train_a_few(stage)
    stage.replace_coordinator()
    done = Work(steps=4, seconds=0.4)
    for idle in (0.5, 6.0):
        for number, name in enumerate("ab"):
            phase = (Phase.FORWARD_BACKWARD, Phase.DATA)[number]
            rank = RankProgress(rank=number, step=4, phase=phase, idle_seconds=idle, work=done)
            stage[name].say(
                following=stage[name].assignment,
                workers=WorkersStatus(generation=0, state="running", step=4, start_seconds=0.1, ranks=(rank,)),
            )
        stage.wait(3.5)
    assert len(stage.events(HangJudged)) == 1 and stage["a"].assignment.generation == 1


def test_members_that_do_not_answer_are_judged_by_their_progress_words(stage: Stage) -> None:
    stage.start()
    train_a_few(stage)
    working(stage, 4, idle=6.0)
    stage.wait(3.5)
    [verdict] = stage.events(HangJudged)
    assert [s.phase for s in verdict.standings] == ["forward_backward"] * 2
    assert stage["a"].assignment.generation == 1


def test_a_rank_that_moves_again_while_it_is_looked_at_is_left_alone(stage: Stage) -> None:
    stage.start()
    train_a_few(stage)
    working(stage, 4, idle=6.0)
    working(stage, 5)
    stage.wait(10.0)
    assert stage["a"].told.inspect is None and stage.events(HangJudged) == []


def test_a_node_that_hangs_twice_gives_its_place_to_a_spare(stage: Stage) -> None:
    stage.start()
    for generation in (0, 1):
        assert set(stage["a"].assignment.model_dump()["members"][1].values()) >= {"b"}, generation
        train_a_few(stage)
        working(stage, 4, idle=6.0)
        working(stage, 4, idle=6.0, answer=True)
    assert [m.node for m in stage["a"].assignment.members] == ["a", "c"]


def test_a_stalled_storage_is_told_once_and_waited_for(stage: Stage) -> None:
    """Restarted workers would wait for the same storage."""

    def waiting(idle: float, step: int = 4) -> None:
        for number, name in enumerate("ab"):
            node = stage[name]
            rank = RankProgress(rank=number, step=step, phase=Phase.DATA, idle_seconds=idle)
            seen = RankEvidence(**rank.model_dump(), node=name, process_state="D", stacks=STACK)
            node.say(
                workers=WorkersStatus(generation=0, state="running", step=step, start_seconds=0.1, ranks=(rank,)),
                inspection=Inspection(generation=0, ranks=(seen,)),
            )

    stage.start()
    train_a_few(stage)
    for idle in (6.0, 60.0, 600.0):
        waiting(idle)
    assert [v.fault_class for v in stage.events(HangJudged)] == ["storage_stalled"]
    waiting(0.0, step=5)
    waiting(6.0, step=5)
    waiting(6.0, step=5)
    assert len(stage.events(HangJudged)) == 2
    assert stage["a"].assignment.generation == 0 and stage.events(FaultDetected) == []


# ----- planned changes -----------------------------------------------------------------------------------------------


def pause(stage: Stage, step: int, names: str = "ab") -> None:
    """All members end after `step`, each with its snapshot."""
    world = len(names)
    for rank, name in enumerate(names):
        held = HeldShard(rank=rank, world_size=world, step=step, generation=0, bytes=1, digest=f"{rank}")
        stage[name].work(step, state="stopped", held=(held,))


def test_a_node_whose_capacity_ends_hands_over_and_may_go_when_others_have_gone_on(stage: Stage) -> None:
    stage.start()
    for name in "ab":
        stage[name].work(7)
    stage["b"].say(leaving=True)
    assert [stage[n].told.pause for n in "ab"] == [0, 0] and stage["b"].told.stop is None
    pause(stage, 8)
    assignment = stage["a"].assignment
    assert [(m.node, m.first_rank) for m in assignment.members] == [("a", 0), ("c", 1)]
    assert (assignment.generation, assignment.restore.step, assignment.cause) == (1, 8, "hand over: b leaves")
    assert stage["b"].told.stop is None, "the spare still fetches from it"
    for name in "ac":
        stage[name].work(9)
    assert stage["b"].told.stop == "leave" and stage["a"].told.stop is None
    stage.cut("b")
    assert [e.state for e in stage.events(MembershipChanged) if e.node == "b"][-1] == "left"
    assert stage.events(FaultDetected) == [] and stage.coordinator.ending is None


def test_a_successor_knows_a_pause_when_it_sees_one(stage: Stage) -> None:
    stage.start()
    for name in "ab":
        stage[name].work(7)
    stage["b"].say(leaving=True)
    stage.replace_coordinator()
    pause(stage, 8)
    stage.wait(1.5)
    assert stage["a"].assignment.generation == 1 and stage.coordinator.ending is None


def test_when_nobody_is_left_to_hand_over_to_the_run_stops_with_its_last_checkpoint(
    stage: Stage, saved: Callable[..., PersistedShard]
) -> None:
    async def end() -> None:
        for name in "ab":
            stage[name].say(uploading=1)
        pause(stage, 8)
        assert stage.coordinator.ending is None
        for rank, name in enumerate("ab"):
            stage[name].say(persisted=(saved(rank, 8),), uploading=0)
        while stage.coordinator._committer.busy:
            await asyncio.sleep(0)
        stage.coordinator.step()

    stage.start()
    for name in "ab":
        stage[name].work(7)
    for name in "cba":
        stage[name].say(leaving=True)
    assert stage["a"].told.stop == "drain"
    asyncio.run(end())
    assert stage.outcome == "stopped"
    assert "leaves, and nobody is left to hand over to" in stage.reason


def test_a_world_that_shrank_grows_when_a_node_returns(make_job: Callable[..., JobSpec], stage: Stage) -> None:
    stage.job = make_job(spares=0, fewer_nodes=(1,))
    stage.replace_coordinator()
    stage.join("ab")
    stage.wait(1.1)
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.cut("b")
    assert [m.node for m in stage["a"].assignment.members] == ["a"]
    assert len(stage["a"].assignment.restore.shards) == 2
    stage["a"].work(9)
    stage.dead = ""
    stage.join("b")
    assert stage["a"].told.pause == 1
    held = HeldShard(rank=0, world_size=1, step=10, generation=1, bytes=1, digest="x")
    stage["a"].work(10, state="stopped", held=(held,))
    assert [m.node for m in stage["a"].assignment.members] == ["a", "b"]
    assert (stage["a"].assignment.restore.step, len(stage["a"].assignment.restore.shards)) == (10, 1)
    assert [a.action for a in stage.events(ActionDecided)] == ["shrink", "grow"]


def test_a_successor_opens_no_generation_of_a_number_that_another_has(stage: Stage) -> None:
    """Node c follows generation 1, but the successor does not hear from it: a second generation 1 could meet it."""
    stage.start()
    stage.join("d")
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    stage.cut("b")
    assert stage["c"].assignment.generation == 1
    stage.replace_coordinator()
    stage.wait(1.5, but="c")
    assert stage["a"].assignment.generation == 0, "generation 1 may train where this coordinator hears nobody"
    stage.wait(stage.job.timeouts.lease, but="c")
    assert (stage["a"].assignment.generation, stage["a"].assignment.member("c")) == (2, None)


def test_a_generation_that_a_coordinator_took_with_it_is_not_left_in_force(stage: Stage) -> None:
    """Generation 1 was opened while b was out of sight, and nobody was told: storage takes no checkpoint of 0 now."""
    stage.start()
    for name in "ab":
        stage[name].work(7, held=(shard(0, 7), shard(1, 7)))
    directive = {name: stage[name].told for name in "abc"}
    stage.wait(stage.job.timeouts.node_lost + 1, but="b")
    assert stage["a"].assignment.generation == 1
    stage.replace_coordinator()
    for name in "abc":
        stage[name].heard.append(directive[name])
    stage.wait(1.5)
    assert (stage["a"].assignment.generation, stage["a"].told.pause) == (0, None), "1 may train, out of sight"
    stage.wait(stage.job.timeouts.lease)
    assert (stage["a"].assignment.generation, stage["a"].told.pause) == (0, 0)
    for name in "ab":
        stage[name].work(8, state="stopped")
    opened = stage["a"].assignment
    assert (opened.generation, [m.node for m in opened.members]) == (2, ["a", "b"])
    assert "1 was opened, and nobody was told" in opened.cause


def test_a_successor_reads_a_checkpoint_only_when_it_is_needed(
    stage: Stage, make_job: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.start()
    for name in "ab":
        stage[name].work(7)
    stage.replace_coordinator()
    committer = stage.coordinator._committer
    committer.durable_step, committer.is_verified = 4, False
    asked: list[float] = []

    def verify() -> None:
        asked.append(stage.now)
        committer.is_verified = len(asked) > 1

    monkeypatch.setattr(committer, "verify_durable", verify)
    stage.wait(1.5)
    assert asked == []
    stage.cut("b")
    assert len(asked) == 2
    assert (stage["a"].assignment.restore.source, stage["a"].assignment.restore.step) == ("manifest", 4)
