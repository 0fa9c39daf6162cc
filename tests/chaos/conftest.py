"""Runs on this machine for tests that kill: a small dataset, and a driver that strikes at a step."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.launch.job import JOB_NAME, RunRequest, render
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec.events import AnyEvent, Event, GenerationOpened, RunFinished, StepFinished
from paceline.spec.job import Timeouts
from paceline.supervise.process import living_members

Strike = Callable[[LocalRun, dict[int, str]], None]
OnEvent = Callable[[LocalRun, AnyEvent], None]
E = TypeVar("E", bound=Event)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few thousand tokens of text that repeats, so that a model learns at once."""
    output = tmp_path_factory.mktemp("dataset")
    words = "the line closes up and keeps its pace when a rider drops".split()  # noqa: SIM905 - a sentence
    texts = [
        " ".join(words[(start + i * step) % len(words)] for i in range(200)) for start in range(8) for step in (1, 2)
    ]
    documents = [Document(name=f"document {i}", text=text) for i, text in enumerate(texts)]
    prepare(documents, name="chaos", source="tests", output=output, vocabulary=300)
    return output


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is left of a run."""

    events: list[AnyEvent]
    finished: RunFinished
    repository: CheckpointRepository
    directory: Path

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def losses(self) -> dict[int, float | None]:
        """The loss of every step; a step that was run again must have given the same again."""
        losses: dict[int, float | None] = {}
        for event in self.of(StepFinished):
            assert losses.setdefault(event.step, event.loss) == event.loss
        return losses

    def parameters(self) -> list[str]:
        """The hashes of all ranks' files of the last checkpoint: equal only if every bit is."""
        newest = self.repository.newest(lambda step, uri, reason: None)
        assert newest is not None and newest.step == self.finished.step
        return [file.sha256 for file in newest.files]


@pytest.fixture
def train(dataset: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Run `debug-tiny`, and at the first step `at` strike once with the nodes by rank; the outcome of the run. It is
    asked to stop after the first step of generation `stop_after`."""

    def run(
        name: str,
        *,
        at: int | None = None,
        strike: Strike | None = None,
        on_event: OnEvent | None = None,
        nodes: int = 2,
        spares: int = 1,
        overrides: Sequence[str] = (),
        data: Path | None = None,
        vocabulary: int | None = None,
        timeouts: Timeouts | None = None,
        stop_after: int | None = None,
        lend: tuple[str, ...] | None = None,
    ) -> Outcome:
        directory = tmp_path / name
        request = RunRequest(
            name=name,
            recipe=load("debug-tiny", overrides),
            dataset=str(data or dataset),
            checkpoints=str(directory / "checkpoints"),
            nodes=nodes,
            spares=spares,
            lend=lend,
            timeouts=timeouts or Timeouts(),
        )
        job = render(request, directory)
        if vocabulary is not None:
            job = job.model_copy(update={"vocabulary": vocabulary})
            (directory / JOB_NAME).write_text(job.model_dump_json())
        events: list[AnyEvent] = []
        ranks: dict[int, str] = {}
        struck = strike is None
        with LocalRun(job, directory, os.environ) as local:
            for event in local.events():
                events.append(event)
                if isinstance(event, GenerationOpened):
                    ranks = {rank: node for node, rank in event.ranks.items()}
                if not struck and isinstance(event, StepFinished) and event.step >= (at or 0):
                    struck = True
                    assert strike is not None
                    strike(local, ranks)
                if on_event is not None:
                    on_event(local, event)
                if isinstance(event, StepFinished) and event.generation == stop_after:
                    local.request_stop()
                    stop_after = None
            groups = [process.pid for process in local.nodes.values()]
        assert [living_members(group) for group in groups] == [[] for _ in groups]
        finished = events[-1]
        assert isinstance(finished, RunFinished)
        repository = CheckpointRepository(DirectoryStore(directory / "checkpoints"))
        return Outcome(events=events, finished=finished, repository=repository, directory=directory)

    return run
