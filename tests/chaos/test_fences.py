"""Faults that come together, and processes that come back: what is over must not reach into what follows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.data.index import TokenDataset
from paceline.data.verify import read_consumed, read_run, verify_run
from paceline.launch.job import RunRequest, render
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec.events import (
    AnyEvent,
    FaultDetected,
    GenerationOpened,
    MembershipChanged,
    RunFinished,
    StepFinished,
)

pytestmark = pytest.mark.chaos
Train = Callable[..., Any]


def assert_no_token_lost_or_repeated(outcome: Any, dataset: Path) -> None:
    record = read_run(outcome.directory)
    data = TokenDataset.open(dataset, sequence_length=record.sequence_length, verify=True)
    states = [outcome.repository.manifest(step).trainer for step in outcome.repository.steps()]
    report = verify_run(data, record, list(read_consumed(outcome.directory)), states)
    assert report.difference is None
    assert report.steps == outcome.finished.step


def test_a_spare_that_dies_while_it_is_promoted_is_replaced_by_the_next(train: Train, dataset: Path) -> None:
    def kill_the_spare_that_joins(run: LocalRun, event: AnyEvent) -> None:
        if isinstance(event, GenerationOpened) and event.generation == 1:
            [joined] = [node for node, rank in event.ranks.items() if rank == 1]
            run.kill_node(joined)

    outcome = train(
        "twice", spares=2, at=5, strike=lambda run, ranks: run.kill_node(ranks[1]), on_event=kill_the_spare_that_joins
    )
    assert outcome.finished.outcome == "completed"
    opened = outcome.of(GenerationOpened)
    assert [e.restore_from for e in opened] == ["nothing", "memory", "memory"]
    assert opened[2].restore_step == opened[1].restore_step
    assert len({node for e in opened for node in e.ranks}) == 4
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_a_supervisor_that_was_asleep_finds_its_place_taken(train: Train, dataset: Path) -> None:
    """Its worker is alone in its world and could train on: it must not, for its node counts as lost."""
    asleep: list[str] = []

    def put_to_sleep(run: LocalRun, ranks: dict[int, str]) -> None:
        asleep.append(ranks[0])
        os.kill(run.nodes[ranks[0]].pid, signal.SIGSTOP)

    def wake(run: LocalRun, event: AnyEvent) -> None:
        if isinstance(event, StepFinished) and event.generation == 1 and asleep:
            os.kill(run.nodes[asleep.pop()].pid, signal.SIGCONT)

    outcome = train("asleep", nodes=1, spares=1, at=5, strike=put_to_sleep, on_event=wake)
    assert outcome.finished.outcome == "completed" and not asleep
    first, second = outcome.of(GenerationOpened)
    assert (second.lost_nodes, second.restore_from) == (tuple(first.ranks), "memory")
    done = {g: [e.step for e in outcome.of(StepFinished) if e.generation == g] for g in (0, 1)}
    assert max(done[0]) <= second.restore_step + 1, "the worker of generation 0 went beyond its fence"
    assert outcome.losses().keys() == set(range(1, 13))
    [node] = second.lost_nodes
    states = [e.state for e in outcome.of(MembershipChanged) if e.node == node]
    assert states == ["joined", "active", "lost", "spare"]
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_a_supervisor_killed_alone_takes_its_workers_with_it(train: Train, dataset: Path) -> None:
    outcome = train("alone", at=5, strike=lambda run, ranks: os.kill(run.nodes[ranks[1]].pid, signal.SIGKILL), spares=1)
    assert outcome.finished.outcome == "completed"
    assert [f.fault for f in outcome.of(FaultDetected)] == ["node lost"]
    assert outcome.of(GenerationOpened)[1].restore_from == "memory"
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_a_wish_to_stop_is_heard_before_anybody_listens_and_by_every_successor(dataset: Path, tmp_path: Path) -> None:
    """SIGTERM to a process that is still importing would end it, and its successor would know nothing of it."""
    request = RunRequest(
        name="early",
        recipe=load("debug-tiny"),
        dataset=str(dataset),
        checkpoints=str(tmp_path / "checkpoints"),
        nodes=1,
        spares=0,
    )
    with LocalRun(render(request, tmp_path), tmp_path, os.environ) as run:
        run.request_stop()
        run.kill_coordinator()
        events = list(run.events())
    assert isinstance(events[-1], RunFinished)
    assert (events[-1].outcome, events[-1].reason) == ("stopped", "stopped before training began")
    assert [e for e in events if isinstance(e, GenerationOpened)] == []
