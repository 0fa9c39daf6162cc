"""What the coordinator does about wrong results and about slow ranks."""

from __future__ import annotations

from typing import Any

from paceline.spec.events import CorruptionJudged, FaultClassified, FaultDetected, StragglerFound
from paceline.supervise.protocol import Corruption, Failure, RankProgress, Work, WorkersStatus
from tests.unit.training.supervise.nodes import shard

Stage = Any  # of conftest.py, which importlib mode does not let tests import


def fail(stage: Stage, ranks: tuple[int, ...], good_step: int) -> None:
    """Nodes a and b have snapshots of steps 4 and 5, and end because of what they found."""
    found = Corruption(
        step=6,
        subject="state",
        suspicion="another fingerprint",
        ranks=ranks,
        good_step=good_step,
        reason="step 6: it is not what it was",
    )
    for number, name in enumerate("ab"):
        stage[name].work(5, held=(shard(number, 5), shard(number, 4)))
    error = Failure(message=found.reason, corruption=found)
    followed = stage["a"].assignment
    workers = WorkersStatus(generation=followed.generation, state="failed", step=5, error=error)
    for name in "ab":
        stage[name].say(following=followed, workers=workers)


def test_a_convicted_node_gives_its_place_to_a_spare_from_the_last_step_that_is_good(stage: Stage) -> None:
    stage.start()
    fail(stage, ranks=(1,), good_step=4)
    assignment = stage["a"].assignment
    assert [m.node for m in assignment.members] == ["a", "c"]
    assert (assignment.restore.source, assignment.restore.step) == ("memory", 4)
    [told] = stage.events(FaultDetected)
    assert (told.fault, told.target, told.evidence) == ("silent corruption", "b", "step 6: it is not what it was")
    assert [f.fault_class for f in stage.events(FaultClassified)] == ["silent_corruption"]
    [judged] = stage.events(CorruptionJudged)
    assert (judged.step, judged.outcome, judged.guilty_ranks, judged.good_step) == (6, "convicted", (1,), 4)


def test_where_nobody_can_be_named_all_go_back(stage: Stage) -> None:
    stage.start()
    fail(stage, ranks=(), good_step=5)
    assignment = stage["a"].assignment
    assert [m.node for m in assignment.members] == ["a", "b"]
    assert assignment.restore.step == 5
    assert [f.target for f in stage.events(FaultDetected)] == ["all nodes"]


def test_a_successor_knows_who_was_convicted(stage: Stage) -> None:
    stage.start()
    fail(stage, ranks=(1,), good_step=4)
    stage.replace_coordinator()
    assert stage.coordinator._avoid == {"b"}
    for name in "abc":
        stage[name].say()
    stage.wait(1.1)
    assert len(stage.events(FaultDetected)) == 1


def work_on(stage: Stage, windows: int) -> None:
    for number, name in enumerate("ab"):
        node = stage[name]
        steps = 16 * windows
        work = Work(steps=steps, compute_seconds=steps * (1.0 + 2.0 * number))
        rank = RankProgress(rank=number, step=steps, phase=4, idle_seconds=0.0, work=work)
        workers = WorkersStatus(generation=node.assignment.generation, state="running", step=steps, ranks=(rank,))
        node.say(following=node.assignment, workers=workers)


def test_a_straggler_is_told_once_and_left_alone(stage: Stage) -> None:
    stage.start()
    for windows in range(6):
        work_on(stage, windows)
    [told] = stage.events(StragglerFound)
    assert (told.slow_rank, told.slow_node, told.phase, told.factor) == (1, "b", "compute", 3.0)
    assert stage["a"].told.pause is None


def test_a_straggler_hands_over_to_a_spare_if_the_recipe_wants_it(stage: Stage) -> None:
    recipe = stage.job.recipe | {"stragglers": {"action": "replace"}}
    stage.job = stage.job.model_copy(update={"recipe": recipe})
    stage.replace_coordinator()
    stage.start()
    for windows in range(5):
        work_on(stage, windows)
    assert stage["a"].told.pause == stage["a"].assignment.generation
    stage.replace_coordinator()
    assert stage.coordinator._avoid == {"b"}
    for name in "abc":
        stage[name].say()
    stage.wait(1.1)
    for number, name in enumerate("ab"):
        node = stage[name]
        workers = WorkersStatus(generation=node.assignment.generation, state="stopped", step=64)
        node.say(following=node.assignment, workers=workers, held=(shard(number, 64),))
    assert [m.node for m in stage["a"].assignment.members] == ["a", "c"]
    assert stage["a"].assignment.restore.step == 64
    assert stage.events(FaultDetected) == []
