"""What a chaos run sees of a run, from what its relays carry."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from paceline.chaos import field as field_module
from paceline.chaos.base import Leg
from paceline.chaos.field import Field
from paceline.chaos.legs import LEGS
from paceline.spec.events import (
    AnyEvent,
    CheckpointCommitted,
    CheckpointPersisted,
    Event,
    FaultClassified,
    GenerationOpened,
    StepFinished,
)
from paceline.supervise.membership import SILENT_CORRUPTION
from paceline.supervise.protocol import Assignment, HeldShard, Member, NodeStatus, Report, Restore, WorkersStatus

NODES = ("node-0", "node-1", "node-2", "node-3")
FOLLOWED = Assignment(
    generation=3,
    members=tuple(
        Member(node=node, first_rank=rank, host="127.0.0.1", peer_port=1, store_port=2)
        for rank, node in enumerate(NODES[:2])
    ),
    workers_per_node=1,
    restore=Restore(source="memory", step=10),
    cause="c",
)


def line(node: str, **changes: Any) -> bytes:
    workers = WorkersStatus(generation=3, state="running", step=13) if node in NODES[:2] else None
    who = {"node": node, "host": "127.0.0.1", "process_group": 1, "peer_port": 1, "store_port": 2}
    values = who | {"ready": True, "following": FOLLOWED, "workers": workers}
    return Report(token="t", status=NodeStatus.model_validate(values | changes)).model_dump_json().encode()


@pytest.fixture
def field(tmp_path: Path) -> Field:
    relays = {node: SimpleNamespace(last_line=line(node), last_heard_ns=time.monotonic_ns()) for node in NODES}
    local: Any = SimpleNamespace(relays=relays, poll=list)
    nothing: Any = None
    made = Field(local, LEGS[Leg.FLEET], journal=nothing, orders=tmp_path, repository=nothing, storage=None)
    made.ranks, made.generation = {"node-0": 0, "node-1": 1}, 3
    return made


def relay(field: Field, node: str) -> Any:
    return field._local.relays[node]


def test_a_run_is_whole_when_every_rank_trains_and_every_standby_is_ready(field: Field) -> None:
    assert field.is_whole()


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        ("node-3", {"ready": False}),
        ("node-2", {"following": None}),
        ("node-2", {"following": FOLLOWED.model_copy(update={"generation": 2})}),
        ("node-0", {"workers": None}),
        ("node-1", {"workers": WorkersStatus(generation=3, state="failed", step=13)}),
        ("node-1", {"workers": WorkersStatus(generation=3, state="running", step=12)}),
    ],
)
def test_a_run_is_not_whole_while_something_is_missing(field: Field, node: str, changes: dict[str, Any]) -> None:
    relay(field, node).last_line = line(node, **changes)
    assert not field.is_whole()


def test_a_node_that_is_silent_or_speaks_half_a_line_is_not_known(field: Field) -> None:
    relay(field, "node-2").last_heard_ns -= 10**11
    assert not field.is_whole()
    relay(field, "node-2").last_heard_ns += 10**11
    relay(field, "node-2").last_line = relay(field, "node-2").last_line[20:]
    assert not field.is_whole()


def test_workers_that_stand_still_have_everything_committed_before_a_checkpoint_is_damaged(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {"time": datetime.now(UTC), "monotonic_ns": 1, "run": "r", "producer": "p"}
    file = {"uri": "u", "bytes": 1, "sha256": "0" * 64, "seconds": 0.1}
    persisted = CheckpointPersisted(step=40, **file, **told)
    committed = CheckpointCommitted(step=40, uri="u", files=2, bytes=2, **told)
    news: list[list[AnyEvent]] = [[persisted], *[[] for _ in range(8)], [committed]]
    stopped: list[int] = []
    old = HeldShard(rank=0, world_size=2, step=20, generation=2, bytes=1, digest="d")
    relay(field, "node-2").last_line = line("node-2", held=(old,))
    monkeypatch.setattr(field._local, "poll", lambda: news.pop(0) if news else [])
    steps = [[10], [20, 10], [30, 20]]  # one is not two, and node-2 would come back to step 20 by itself
    saved = SimpleNamespace(steps=lambda: steps.pop(0))
    monkeypatch.setattr(field, "repository", saved)
    monkeypatch.setattr(field, "_worker", lambda node: int(node[-1]))
    monkeypatch.setattr(field_module.os, "kill", lambda pid, number: stopped.append(pid))
    monkeypatch.setattr(field_module, "_UPLOAD_SECONDS", 0.04)
    field.stop_workers(Random(0))
    assert sorted(stopped) == [0, 1] and not steps and not news


def test_a_smaller_world_is_not_whole(field: Field) -> None:
    field.ranks = {"node-0": 0}
    assert not field.is_whole()


def test_what_was_said_before_a_blow_is_not_known_any_more(field: Field) -> None:
    field._journal = SimpleNamespace(emit=lambda kind, **said: None)  # type: ignore[assignment]
    field.begin("coordinator_loss")
    field.mark("coordinator")
    assert not field.is_whole()
    for node in NODES:
        relay(field, node).last_heard_ns = time.monotonic_ns()
    assert field.is_whole()


def told(kind: type[Event], generation: int, **said: Any) -> AnyEvent:
    common = {"time": datetime(2026, 1, 1, tzinfo=UTC), "monotonic_ns": 0, "run": "r", "producer": "p"}
    return kind.model_validate(common | {"generation": generation} | said)  # type: ignore[return-value]


def test_the_step_is_that_of_the_newest_generation(field: Field) -> None:
    figures = {"loss": 1.0, "tokens": 1, "learning_rate": 1.0, "gradient_norm": 1.0}
    times = {"seconds": 0.1, "data_seconds": 0.0, "checkpoint_seconds": 0.0}
    opened = {"ranks": {"node-2": 0, "node-3": 1}, "world_size": 2, "cause": "c", "restore_from": "manifest"}
    events = [
        told(StepFinished, 3, step=60, **figures, **times),
        told(GenerationOpened, 4, restore_step=40, **opened),
        told(StepFinished, 3, step=61, **figures, **times),
        told(StepFinished, 4, step=41, **figures, **times),
    ]
    field._local.poll = lambda: events  # type: ignore[method-assign]
    field.look()
    assert (field.generation, field.step, field.ranks) == (4, 41, opened["ranks"])


def test_mending_starts_what_is_dead_and_exchanges_who_was_convicted_and_left_out(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeds: list[tuple[str, str]] = []
    local: Any = field._local
    local.nodes = {node: SimpleNamespace(pid=pid, wait=lambda: None) for pid, node in enumerate(NODES)}
    local.start_node = lambda node: deeds.append(("start", node))
    local.exchange_node = lambda node: deeds.append(("exchange", node))
    monkeypatch.setattr("paceline.chaos.field.living_members", lambda pid: [] if pid == 3 else [pid])
    wrong = {"fault": "silent corruption", "fault_class": SILENT_CORRUPTION}
    other = {"fault": "worker failed", "fault_class": "worker_failed"}
    events = [
        told(FaultClassified, 3, target="node-1", **other),
        told(FaultClassified, 3, target="node-2", **wrong),
        told(FaultClassified, 3, target="node-0", **wrong),  # it still trains: nobody was there to take its rank
    ]
    local.poll = lambda: events
    field.look()
    field.mend()
    assert deeds == [("exchange", "node-2"), ("start", "node-3")]
