"""A run as its producers would write it: two nodes and a spare, one node killed between two steps; and a run on
Trainium as its launcher renders it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paceline.recipe.load import load
from paceline.spec.events import (
    Activity,
    AnyEvent,
    CheckpointCommitted,
    CheckpointRestored,
    CheckpointVerified,
    DataConsumed,
    DatasetPrepared,
    FaultDetected,
    FaultInjected,
    GenerationOpened,
    MembershipChanged,
    PhaseChanged,
    RunFinished,
    RunStarted,
    SnapshotReplicated,
    SnapshotTaken,
    StackDeployed,
    StepFinished,
)
from paceline.spec.job import JobSpec

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
STEP = 0.5
DATA, SNAPSHOT = 0.01, 0.04


class Script:
    """Events at seconds after the start of the run. `read` gives them as the reader would."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def at(self, moment: float, kind: type[Any], /, *, producer: str = "coordinator", **fields: Any) -> None:
        context = {"run": "demo", "producer": producer, "monotonic_ns": round(moment * 1e9)}
        self.events.append(kind(time=START + timedelta(seconds=moment), **context, **fields))

    def read(self) -> list[AnyEvent]:
        return sorted(self.events, key=lambda event: event.time)

    def start(self, seconds: float = 0, *, nodes: int = 2, spares: int = 1, steps: int = 40) -> None:
        self.at(
            seconds,
            RunStarted,
            recipe="debug-llama",
            recipe_sha256="a" * 64,
            nodes=nodes,
            spares=spares,
            world_size=nodes,
            total_steps=steps,
            tokens_per_step=4096,
            seed=7,
            dataset="python-documentation",
            versions={"paceline": "0.1.0", "python": "3.12.1", "torch": "2.13.0"},
        )

    def open(self, seconds: float, number: int, members: list[str], restore_step: int, **fields: Any) -> None:
        given = {"cause": "the run began", "restore_from": "nothing"} | fields
        ranks = {node: rank for rank, node in enumerate(members)}
        size = len(members)
        self.at(
            seconds,
            GenerationOpened,
            generation=number,
            ranks=ranks,
            world_size=size,
            restore_step=restore_step,
            **given,
        )

    def phase(self, seconds: float, node: str, activity: Activity, **fields: Any) -> None:
        self.at(seconds, PhaseChanged, producer=node, node=node, activity=activity, **fields)

    def member(self, seconds: float, node: str, state: str, reason: str = "heartbeat") -> None:
        self.at(seconds, MembershipChanged, node=node, state=state, reason=reason)

    def step(self, end: float, node: str, number: int, generation: int, *, seconds: float = STEP) -> None:
        worker = f"{node}.rank-0"
        loss = 1.5 + 6.5 * 0.93**number
        self.at(
            end,
            StepFinished,
            producer=worker,
            node=node,
            generation=generation,
            step=number,
            loss=loss,
            tokens=4096,
            learning_rate=1e-3,
            gradient_norm=1.0,
            seconds=seconds,
            data_seconds=DATA,
            checkpoint_seconds=SNAPSHOT,
        )
        self.at(end, SnapshotTaken, producer=worker, node=node, step=number, bytes=9_000_000, seconds=0.03, digest="d")
        self.at(end, SnapshotReplicated, producer=node, node=node, step=number, to_node="x", bytes=9_000_000, seconds=0)

    def consumed(self, end: float, number: int) -> None:
        self.at(end, DataConsumed, producer="node-0", step=number, first_index=0, count=16, digest="d", head="h")


def faulted_run(*, faulty: bool = True, kept: int = 20) -> Script:
    """40 steps of half a second. With a fault, node-1 is killed 0.2 s into step 22 of generation 0; the run goes on
    from step `kept` (21 steps were done) on node-0 and the spare, node-2."""
    script = Script()
    script.at(-20, StackDeployed, producer="demo", stack="sandbox-Foundation", resources=31, seconds=6.2)
    script.at(-12, StackDeployed, producer="demo", stack="sandbox-Storage", resources=14, seconds=4.1)
    script.at(
        -8,
        DatasetPrepared,
        producer="demo",
        dataset="python-documentation",
        uri="s3://sandbox-data/python",
        documents=4200,
        tokens=700_000,
        vocabulary=2048,
        unigram_entropy=5.9,
        seconds=3.0,
    )
    script.start()
    for node in ("node-0", "node-1", "node-2"):
        script.phase(0.1, node, Activity.INITIALISE)
        script.member(0.2, node, "joined")
    script.member(0.3, "node-2", "spare")
    script.open(0.5, 0, ["node-0", "node-1"], 0)
    for node in ("node-0", "node-1"):
        script.phase(2.0, node, Activity.PRODUCTIVE)
    for number in range(1, (21 if faulty else 40) + 1):
        for node in ("node-0", "node-1"):
            script.step(2.0 + STEP * number, node, number, 0)
        script.consumed(2.0 + STEP * number, number)
    end = 22.0
    if faulty:
        end = _fault(script, 12.7, kept)
    script.at(end + 0.4, CheckpointCommitted, step=40, uri="s3://sandbox-checkpoints/40", files=2, bytes=60_000_000)
    script.at(end + 0.6, RunFinished, outcome="completed", step=40)
    script.at(
        end + 2, CheckpointVerified, producer="demo", step=40, uri="s3://c/40", files=2, bytes=60_000_000, seconds=0.2
    )
    return script


def _fault(script: Script, blow: float, kept: int) -> float:
    """The blow at `blow` and the way back to the end of the training, which is returned."""
    opened = blow + 0.25
    script.at(blow, FaultInjected, producer="demo", fault="node_killed", target="node-1")
    script.at(blow + 0.2, FaultDetected, fault="node_lost", target="node-1", evidence="connection closed")
    script.member(blow + 0.2, "node-1", "lost", "connection closed")
    script.open(
        opened,
        1,
        ["node-0", "node-2"],
        kept,
        cause="node_lost",
        lost_nodes=("node-1",),
        restore_from="memory",
    )
    for node in ("node-0", "node-2"):
        script.phase(opened + 0.05, node, Activity.RESTART)
        script.at(
            opened + 0.3,
            CheckpointRestored,
            producer=node,
            node=node,
            generation=1,
            step=kept,
            source="memory",
            bytes=30_000_000,
            seconds=0.1,
        )
        script.phase(opened + 0.35, node, Activity.PRODUCTIVE)
    first = opened + 0.4
    for number in range(kept + 1, 41):
        end = first + STEP * (number - kept)
        for node in ("node-0", "node-2"):
            script.step(end, node, number, 1)
        script.consumed(end, number)
    return first + STEP * (40 - kept)


@pytest.fixture
def run_of() -> Callable[..., Script]:
    """`run_of(faulty=..., kept=...)` is a scripted run of two nodes and a spare."""
    return faulted_run


@pytest.fixture
def script() -> Script:
    """An empty script."""
    return Script()


@pytest.fixture
def make_neuron_job() -> Callable[..., JobSpec]:
    """`make_neuron_job(*overrides, **fields)`: a run on Trainium; overrides of its recipe and fields of its job."""

    def make(*overrides: str, **fields: Any) -> JobSpec:
        chosen = ["accelerator=trainium", "compute.attention=sdpa", "batch.micro_sequences=2", *overrides]
        recipe = load("debug-llama", chosen).recipe
        told: dict[str, Any] = {
            "run": "test",
            "recipe": recipe.model_dump(mode="json"),
            "recipe_sha256": "0",
            "nodes": 1,
            "workers_per_node": 2,
            "dataset": "file:///data",
            "data_order": "0",
            "vocabulary": 300,
            "checkpoints": "file:///checkpoints",
            "graphs": "file:///graphs",
            "journal": "/journal",
            "environment": recipe.platform.environment,
            "coordinator_port": 1,
        }
        return JobSpec(**told | fields)

    return make
