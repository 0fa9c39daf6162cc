"""Nodes, or a coordinator, that say what a test wants them to, and a real coordinator, or node, that hears it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from paceline.journal.reader import Follower
from paceline.spec.events import Event
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointFile, TrainerState
from paceline.supervise import node as node_module
from paceline.supervise import standbys
from paceline.supervise.coordinator import Coordinator
from paceline.supervise.node import NodeSupervisor
from paceline.supervise.protocol import (
    Assignment,
    Directive,
    Failure,
    NodeStatus,
    PersistedShard,
    WorkersState,
    WorkersStatus,
)
from tests.unit.training.supervise.scene import TOKEN, Play, Scene

E = TypeVar("E", bound=Event)
MakeJob = Callable[..., JobSpec]
HERE = Path(__file__).parent  # of fake_worker.py
STEPS = 12


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    def make(**changes: Any) -> JobSpec:
        recipe = {
            "name": "test",
            "seed": 0,
            "description": "four sequences for two ranks",
            "model": {"preset": "debug"},
            "data": {"sequence_length": 16},
            "optimizer": {"learning_rate": 1e-3},
            "schedule": {"steps": STEPS},
            "batch": {"tokens": 64, "micro_sequences": 1},
            "checkpoint": {"keep": 2},
        }
        fields: dict[str, Any] = {
            "run": "test",
            "recipe": recipe,
            "recipe_sha256": "a" * 64,
            "nodes": 2,
            "spares": 1,
            "dataset": str(tmp_path / "data"),
            "data_order": "b" * 64,
            "vocabulary": 300,
            "model": {"model_type": "llama"},
            "checkpoints": str(tmp_path / "checkpoints"),
            "journal": str(tmp_path / "journal"),
            "coordinator_port": 1,
        }
        return JobSpec(**fields | changes)

    return make


@pytest.fixture
def saved() -> Callable[..., PersistedShard]:
    """A rank's file of a step that a node says is durable."""

    def make(rank: int, step: int, generation: int = 0) -> PersistedShard:
        return PersistedShard(
            step=step,
            generation=generation,
            world_size=2,
            file=CheckpointFile(name=f"rank-{rank}.{generation}", bytes=1, sha256="c" * 64, rank=rank),
            trainer=TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64),
        )

    return make


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class FakeNode:
    """Says what it is told to say, and remembers what it hears."""

    def __init__(self, stage: Stage, name: str, port: int) -> None:
        self._stage = stage
        self.heard: list[Directive] = []
        self.status = NodeStatus(
            node=name, host="127.0.0.1", process_group=1, peer_port=port, store_port=port + 1, ready=True
        )

    def write(self, data: bytes) -> None:
        self.heard.append(Directive.model_validate_json(data))

    def is_closing(self) -> bool:
        return False

    async def drain(self) -> None: ...

    @property
    def told(self) -> Directive:
        return self.heard[-1]

    @property
    def assignment(self) -> Assignment:
        assert self.told.assignment is not None
        return self.told.assignment

    @property
    def owes_answer(self) -> bool:
        return bool(self.heard) and self.told.roll_call != self.status.roll_call

    def say(self, **changes: Any) -> None:
        asked = self.told.roll_call if self.heard else None
        self.status = self.status.model_copy(update={"roll_call": asked} | changes)
        self._stage.coordinator.hear(self.status, self)
        self._stage.answer_roll_call()

    def work(self, step: int, state: WorkersState = "running", **changes: Any) -> None:
        """Follow the present assignment with workers that are at `step`."""
        assignment = self.assignment
        error = Failure(message="boom") if state == "failed" else None
        workers = WorkersStatus(generation=assignment.generation, state=state, step=step, error=error)
        member = assignment.member(self.status.node) is not None
        self.say(following=assignment, workers=workers if member else None, **changes)


class Stage:
    """A coordinator, its clock and its nodes; `start` opens the first generation with a and b, c is the spare."""

    def __init__(self, job: JobSpec) -> None:
        self.job = job
        self.now = 0.0
        self.nodes: dict[str, FakeNode] = {}
        self.dead = self.mute = ""
        self.replace_coordinator()

    def replace_coordinator(self) -> None:
        """The next report goes to a successor that knows nothing."""
        self.coordinator = Coordinator(self.job, "token", clock=lambda: self.now, successor=bool(self.nodes))
        self.coordinator._committer.find_durable()

    def join(self, names: str = "abc") -> None:
        for name in names:
            self.nodes[name] = FakeNode(self, name, 10 * ord(name))
            self.nodes[name].say()

    def start(self) -> None:
        self.join()
        self.wait(1.1)
        assert self["a"].assignment.generation == self.job.first_generation

    def __getitem__(self, name: str) -> FakeNode:
        return self.nodes[name]

    def wait(self, seconds: float, but: str = "") -> None:
        """Time passes; every node keeps reporting, except those named in `but`."""
        end, self.mute = self.now + seconds, but
        while self.now < end:
            self.now += min(0.25, end - self.now)
            for name, node in self.nodes.items():
                if name not in self.dead + but:
                    node.say()
            self.coordinator.step()
            self.answer_roll_call()
        self.mute = ""

    def answer_roll_call(self) -> None:
        """Who is asked what it holds says so at once, as real nodes do."""
        for name, node in self.nodes.items():
            if node.owes_answer and name not in self.dead + self.mute:
                node.say()

    def cut(self, names: str) -> None:
        """Nodes are killed: their connections end, and their grace."""
        self.dead += names
        for name in names:
            self.coordinator._roster.hang_up(name, self.nodes[name])
        self.wait(0.2)

    @property
    def outcome(self) -> str:
        assert self.coordinator.ending is not None
        return self.coordinator.ending.outcome

    @property
    def reason(self) -> str:
        assert self.coordinator.ending is not None
        return str(self.coordinator.ending.reason)

    def events(self, kind: type[E]) -> list[E]:
        return [e for e in Follower(Path(self.job.journal)).poll() if isinstance(e, kind)]


@pytest.fixture
def stage(make_job: MakeJob) -> Stage:
    return Stage(make_job())


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes find paceline where this one does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
def play(make_job: MakeJob, unused_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    job = make_job(nodes=1, spares=0, coordinator_port=unused_port)
    monkeypatch.setattr(node_module.staging, "bring", lambda job, directory, journal: None)

    @asynccontextmanager
    async def running(behaviour: str, changes: dict[str, Any]) -> AsyncIterator[Scene]:
        (tmp_path / "job.json").write_text(job.model_copy(update=changes).model_dump_json())
        monkeypatch.setattr(standbys, "WORKER_MODULE", "fake_worker")
        monkeypatch.setenv("BEHAVIOUR", behaviour)
        monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        scene = Scene()
        server = await asyncio.start_server(scene.serve, "127.0.0.1", unused_port)
        scene.node = NodeSupervisor(tmp_path / "job.json", "node-0", "127.0.0.1", tmp_path, TOKEN)
        task = asyncio.create_task(scene.node.run())
        try:
            yield scene
        finally:
            scene.node._left.set()
            await task
            server.close()

    def perform(behaviour: str, act: Play, **changes: Any) -> None:
        async def whole() -> None:
            async with running(behaviour, changes) as scene:
                await act(scene)

        asyncio.run(whole())

    return perform
