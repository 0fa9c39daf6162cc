"""What a node brings to its disk before it is ready, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.graphs.cache import modules
from paceline.graphs.key import key_of, made_from
from paceline.graphs.store import GraphStore
from paceline.journal.reader import read
from paceline.journal.writer import Journal
from paceline.spec.errors import GraphError
from paceline.spec.events import GraphsFetched
from paceline.spec.job import JobSpec
from paceline.supervise import staging
from tests.neuron.compiler import MODULES, VERSION, compiled

VERSIONS = {"neuronx-cc": VERSION}


@pytest.fixture
def job(make_neuron_job: Callable[..., JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """A run whose graphs are kept; its dataset is there already."""
    monkeypatch.setattr(staging, "fetch", lambda store, directory: None)
    monkeypatch.setattr(staging, "installed", lambda: VERSIONS)
    job = make_neuron_job(graphs=str(tmp_path / "kept"), journal=str(tmp_path / "journal"))
    for name, value in job.environment.items():
        monkeypatch.setenv(name, value)
    for module in MODULES:
        compiled(tmp_path / "warm", module)
    ingredients = made_from(job, job.environment, VERSIONS)
    GraphStore(DirectoryStore(tmp_path / "kept"), key_of(ingredients)).upload(tmp_path / "warm", ingredients)
    return job


def bring(job: JobSpec, node: Path) -> None:
    with closing(Journal(Path(job.journal), run=job.run, producer="node-0", node="node-0")) as journal:
        staging.bring(job, node, journal)


def test_workers_find_verified_graphs_where_they_look(job: JobSpec, tmp_path: Path) -> None:
    bring(job, tmp_path / "node")
    looked = Path(staging.variables(job, tmp_path / "node")["NEURON_COMPILE_CACHE_URL"])
    assert set(modules(looked)) == set(MODULES)
    [event] = read(Path(job.journal)).events
    assert isinstance(event, GraphsFetched)
    assert (event.node, event.graphs) == ("node-0", len(MODULES))


def test_a_node_with_another_compiler_is_not_ready(
    job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "installed", lambda: {"neuronx-cc": "2.26.6360.0"})
    with pytest.raises(GraphError) as refused:
        bring(job, tmp_path / "node")
    assert "its nodes have another compiler" in str(refused.value.problems[0].hint)


def test_without_graphs_there_is_nothing_to_bring_and_no_variable(job: JobSpec, tmp_path: Path) -> None:
    without = job.model_copy(update={"graphs": None})
    bring(without, tmp_path / "node")
    assert staging.variables(without, tmp_path / "node") == {}
    assert not (tmp_path / "node").exists()
