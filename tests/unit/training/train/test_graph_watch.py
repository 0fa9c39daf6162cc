"""Graphs that were not compiled ahead are told with the step that needed them, once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.graphs.key import key_of
from paceline.graphs.store import GraphStore
from paceline.journal.reader import read
from paceline.journal.writer import Journal
from paceline.spec.events import AnyEvent, CompileMissed, GraphsCounted
from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import StepFigures
from paceline.train.graphs import GraphWatch
from tests.neuron.compiler import MODULES, compiled

FIGURES = StepFigures(loss=1.0, gradient_norm=1.0, learning_rate=0.1, tokens=8, seconds=1.0, data_seconds=0.0)


def after(step: int) -> TrainerState:
    return TrainerState(step=step, tokens=0, next_index=0, ledger="0" * 64)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """On a node that has fetched what was compiled ahead."""
    for module in MODULES:
        compiled(tmp_path / "warm", module)
    store = GraphStore(DirectoryStore(tmp_path / "kept"), key_of({}))
    store.upload(tmp_path / "warm", {})
    store.fetch(tmp_path / "node")
    return tmp_path / "node"


def told(tmp_path: Path, cache: Path, misses: dict[int, str]) -> list[AnyEvent]:
    """What is told of three steps, if those of `misses` need another graph; that of step 0 while the engine builds."""
    with closing(Journal(tmp_path / "journal", run="test", producer="node-0.rank-0", node="node-0")) as journal:
        watch = GraphWatch(cache, journal)
        for step in range(4):
            if step in misses:
                compiled(cache, misses[step])
            if step == 0:
                watch.begin(after(0))
            else:
                watch.after_step(after(step), FIGURES)
        watch.end(after(3))
    return read(tmp_path / "journal").events


def test_nothing_is_missing(tmp_path: Path, cache: Path) -> None:
    [counted] = told(tmp_path, cache, {})
    assert isinstance(counted, GraphsCounted)
    assert (counted.step, counted.expected, counted.missed) == (1, len(MODULES), 0)


def test_a_miss_is_told_once_with_its_step(tmp_path: Path, cache: Path) -> None:
    events = told(tmp_path, cache, {0: "MODULE_build+1", 2: "MODULE_two+1"})
    missed = [(event.step, event.module) for event in events if isinstance(event, CompileMissed)]
    assert missed == [(0, "MODULE_build+1"), (2, "MODULE_two+1")]
    [counted] = [event for event in events if isinstance(event, GraphsCounted)]
    assert (counted.step, counted.missed) == (1, 1)


def test_the_next_generation_on_a_node_does_not_tell_it_again(tmp_path: Path, cache: Path) -> None:
    told(tmp_path / "first", cache, {1: "MODULE_one+1"})
    events = told(tmp_path / "second", cache, {})
    assert not [event for event in events if isinstance(event, CompileMissed)]
