"""A run on the CPU surface that compiles ahead: real processes, and a compiler that is a stand-in (compiler.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.journal.reader import read
from paceline.launch.job import RunRequest, render
from paceline.launch.local.drive import drive
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec import events as ev
from paceline.spec.errors import LaunchError
from tests.neuron.compiler import MODULES, install
from tests.neuron.one_more import MODULE

SURFACE = Path(__file__).parent / "surface"
STEPS = 3
Kind = TypeVar("Kind", bound=ev.Event)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def run(directory: Path, *overrides: str) -> Sequence[ev.AnyEvent]:
    """Train debug-tiny in `directory`, with graphs shared by all runs of the test; what was told."""
    neuron = ["accelerator=trainium", "compute.attention=sdpa", "compute.precision=float32", "parallelism.auto=false"]
    short = [f"schedule.steps={STEPS}", "schedule.warmup_steps=0", "batch.tokens=128", "batch.micro_sequences=1"]
    request = RunRequest(
        name="tiny",
        recipe=load("debug-tiny", [*neuron, *short, *overrides]),
        dataset=str(directory.parent / "dataset"),
        checkpoints=str(directory / "checkpoints"),
        graphs=str(directory.parent / "graphs"),
        nodes=1,
        spares=0,
    )
    job = render(request, directory)
    told: list[ev.AnyEvent] = []
    drive(LocalRun(job, directory, os.environ), told.append, lambda text: None)
    return read(Path(job.journal)).events


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where there is a dataset; on a machine with the stand-in compiler and the CPU surface."""
    text = " ".join(f"word{n % 7}" for n in range(3000))
    prepare([Document(name="text", text=text)], name="t", source="t", output=tmp_path / "dataset", vocabulary=300)
    install(tmp_path / "neuron")
    monkeypatch.syspath_prepend(tmp_path / "neuron")
    path = [str(tmp_path / "neuron"), str(SURFACE), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'neuron'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NXD_CPU_MODE", "1")
    return tmp_path


def of(kind: type[Kind], events: Sequence[ev.AnyEvent]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def test_graphs_are_compiled_once_and_a_missing_or_altered_one_is_told(place: Path) -> None:
    first = run(place / "first", "callbacks=[tests.neuron.one_more:OneMore]")

    [compiled], [fetched] = of(ev.GraphsCompiled, first), of(ev.GraphsFetched, first)
    [counted], [missed] = of(ev.GraphsCounted, first), of(ev.CompileMissed, first)
    assert (compiled.graphs, fetched.graphs) == (len(MODULES), len(MODULES))
    assert (counted.step, counted.expected, counted.missed) == (1, len(MODULES), 0)
    assert (missed.node, missed.step, missed.module) == ("node-0", 2, MODULE)
    # the trial took steps too, and none of them is the run's
    assert [event.step for event in of(ev.StepFinished, first)] == [1, 2, 3]
    assert [event.step for event in of(ev.DataConsumed, first)] == [0, 1, 2]
    assert {event.step for event in of(ev.CheckpointCommitted, first)} == {3}
    assert first.index(compiled) < first.index(of(ev.RunStarted, first)[0])

    [key] = (place / "graphs").iterdir()
    neff = next(key.rglob(f"{MODULES[0]}/model.neff"))
    neff.write_bytes(neff.read_bytes().upper())
    with pytest.raises(LaunchError, match=r"model\.neff: altered: its SHA-256 is"):
        run(place / "second")
    assert not (place / "second" / "warm-up.log").exists()  # what is there is not compiled again
    assert not of(ev.StepFinished, read(place / "second" / "journal").events)
