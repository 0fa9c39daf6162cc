"""The world changes while a run trains: a rank hangs, a node's capacity ends, no spare is left. Nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.data.index import TokenDataset
from paceline.data.verify import read_consumed, read_run, verify_run
from paceline.launch.local.run import LocalRun
from paceline.spec.events import (
    ActionDecided,
    FaultDetected,
    GenerationOpened,
    HangJudged,
    MembershipChanged,
    StepFinished,
)
from paceline.spec.job import Timeouts
from paceline.supervise.flight_record import digest
from paceline.supervise.fork_server import workers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]
Train = Callable[..., Any]


def assert_no_token_lost_or_repeated(outcome: Any, dataset: Path) -> None:
    record = read_run(outcome.directory)
    data = TokenDataset.open(dataset, sequence_length=record.sequence_length, verify=True)
    states = [outcome.repository.manifest(step).trainer for step in outcome.repository.steps()]
    report = verify_run(data, record, list(read_consumed(outcome.directory)), states)
    assert report.difference is None
    assert report.steps == outcome.finished.step


def stop_the_worker_of_rank_1(run: LocalRun, ranks: dict[int, str]) -> None:
    """SIGSTOP: it neither ends nor goes on, and its peer waits for it in a collective."""
    os.kill(workers(run.nodes[ranks[1]].pid)[0], signal.SIGSTOP)


def test_a_rank_that_hangs_is_named_and_replaced(train: Train, dataset: Path) -> None:
    outcome = train(
        "hangs",
        at=5,
        strike=stop_the_worker_of_rank_1,
        spares=0,
        timeouts=Timeouts(hang_floor=2.0, start=60.0),
    )
    assert outcome.finished.outcome == "completed"
    [verdict] = outcome.of(HangJudged)
    first, second = outcome.of(GenerationOpened)
    assert (verdict.fault_class, verdict.guilty_rank) == ("worker_stopped", 1)
    assert first.ranks[verdict.guilty_node] == 1
    standing = {rank.rank: rank for rank in verdict.standings}
    assert standing[1].process_state == "T"
    evidence = Path(verdict.evidence)
    assert "train/loop.py" in evidence.read_text()
    [record] = evidence.parent.glob(f"{evidence.stem}-rank-*.json")
    [waits, *_] = digest(record.read_bytes())
    assert record.stem.endswith("-rank-00000") and waits.pending is not None, "a stopped process writes none"
    assert standing[0].collective.startswith(f"{waits.pending.name} #{waits.entered} of {waits.description} (")
    assert [(f.fault, f.target) for f in outcome.of(FaultDetected)] == [("hang", verdict.guilty_node)]
    assert (second.restore_from, second.ranks) == ("memory", first.ranks)
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_a_node_whose_capacity_ends_hands_over_without_a_lost_step(train: Train, dataset: Path) -> None:
    undisturbed = train("stays", spares=0, overrides=["schedule.steps=40"])
    outcome = train(
        "drained", at=5, strike=lambda run, ranks: run.drain_node(ranks[1]), overrides=["schedule.steps=40"]
    )
    assert outcome.finished.outcome == "completed"
    assert outcome.of(FaultDetected) == []
    first, second = outcome.of(GenerationOpened)
    [gone] = set(first.ranks) - set(second.ranks)
    done = [e.step for e in outcome.of(StepFinished)]
    assert max(e.step for e in outcome.of(StepFinished) if e.generation == 0) == second.restore_step
    assert len(done) == len(set(done)) * 2, "each step was done once, on two nodes"
    assert [e.state for e in outcome.of(MembershipChanged) if e.node == gone][-1] == "left"
    assert outcome.losses() == undisturbed.losses()
    assert outcome.parameters() == undisturbed.parameters()
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_without_a_spare_the_run_shrinks_and_grows_again(train: Train, dataset: Path) -> None:
    """The node that was lost is started again once the run goes on without it."""
    lost: list[str] = []

    def kill(run: LocalRun, ranks: dict[int, str]) -> None:
        lost.append(ranks[1])
        run.kill_node(ranks[1])

    def bring_back(run: LocalRun, event: Any) -> None:
        if isinstance(event, StepFinished) and event.generation == 1 and lost:
            run.start_node(lost.pop())

    outcome = train(
        "shrinks", at=5, strike=kill, on_event=bring_back, spares=0, overrides=["schedule.steps=4000"], stop_after=2
    )
    assert outcome.finished.outcome == "stopped"
    opened = outcome.of(GenerationOpened)
    assert [e.world_size for e in opened] == [2, 1, 2]
    assert [e.restore_from for e in opened] == ["nothing", "memory", "memory"]
    assert [a.action for a in outcome.of(ActionDecided)] == ["shrink", "grow"]
    before = max(e.step for e in outcome.of(StepFinished) if e.generation == 1)
    assert opened[2].restore_step == before, "growing loses no step"
    assert_no_token_lost_or_repeated(outcome, dataset)
