"""Compiled graphs as an artefact: whole or not there, on their way to the store and on their way back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.graphs import cache as caches
from paceline.graphs.cache import modules, tally
from paceline.graphs.key import key_of
from paceline.graphs.store import GraphStore, expected
from paceline.spec.errors import GraphError
from tests.neuron.compiler import MODULES, VERSION, compiled, graph

MADE_FROM = {"versions": {"neuronx-cc": VERSION}, "shapes": {"positions": 2048}}
KEY = key_of(MADE_FROM)


@pytest.fixture
def store(tmp_path: Path) -> GraphStore:
    """With the graphs of a warm-up in it."""
    for module in MODULES:
        compiled(tmp_path / "warm", module)
    found = GraphStore(DirectoryStore(tmp_path / "kept"), KEY)
    found.upload(tmp_path / "warm", MADE_FROM)
    return found


def kept(tmp_path: Path, module: str = MODULES[0]) -> Path:
    """A compiled graph in the store."""
    return tmp_path / "kept" / KEY / f"neuronxcc-{VERSION}" / module / "model.neff"


def test_nobody_has_compiled_them_yet(tmp_path: Path) -> None:
    store = GraphStore(DirectoryStore(tmp_path), KEY)
    assert store.manifest() is None
    with pytest.raises(GraphError, match="nobody has compiled these graphs"):
        store.fetch(tmp_path / "node")


def test_what_goes_up_comes_down(store: GraphStore, tmp_path: Path) -> None:
    manifest = store.fetch(tmp_path / "node")
    assert manifest.made_from == MADE_FROM
    assert manifest.modules == expected(tmp_path / "node") == set(MODULES)
    for path in caches.files(tmp_path / "warm"):
        assert (tmp_path / "node" / path.relative_to(tmp_path / "warm")).read_bytes() == path.read_bytes()


def test_locks_of_the_compiler_stay_behind(tmp_path: Path) -> None:
    folder = compiled(tmp_path / "warm", MODULES[0])
    (folder / "model.hlo_module.pb.lock").touch()
    manifest = GraphStore(DirectoryStore(tmp_path / "kept"), KEY).upload(tmp_path / "warm", MADE_FROM)
    assert sorted(Path(file.name).name for file in manifest.files) == [
        "compile_flags.json",
        "model.done",
        "model.hlo_module.pb",
        "model.neff",
    ]


def test_a_graph_that_was_not_compiled_keeps_all_of_them_out(tmp_path: Path) -> None:
    compiled(tmp_path / "warm", MODULES[0])
    graph(tmp_path / "warm", MODULES[1])
    store = GraphStore(DirectoryStore(tmp_path / "kept"), KEY)
    with pytest.raises(GraphError, match=rf"1 of 2 graphs were not compiled: {MODULES[1].replace('+', '.')}"):
        store.upload(tmp_path / "warm", MADE_FROM)
    assert store.manifest() is None


def test_a_warm_up_without_graphs_is_none(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="has left no graph"):
        GraphStore(DirectoryStore(tmp_path / "kept"), KEY).upload(tmp_path / "warm", MADE_FROM)


def test_an_altered_graph_is_refused_and_does_not_reach_the_node(store: GraphStore, tmp_path: Path) -> None:
    altered = bytearray(kept(tmp_path).read_bytes())
    altered[0] ^= 1
    kept(tmp_path).write_bytes(altered)
    with pytest.raises(GraphError) as refused:
        store.fetch(tmp_path / "node")
    [problem] = refused.value.problems
    assert problem.message.startswith(f"{store.uri}/neuronxcc-{VERSION}/{MODULES[0]}/model.neff: altered: its SHA-256")
    assert problem.hint is not None
    assert problem.hint.startswith(f"delete {store.uri}/manifest.json and start the run again")
    assert not list((tmp_path / "node").rglob(f"{MODULES[0]}/model.neff"))


def test_a_lost_graph_is_named(store: GraphStore, tmp_path: Path) -> None:
    kept(tmp_path).unlink()
    with pytest.raises(GraphError, match=r"model\.neff: missing, but its manifest lists it"):
        store.fetch(tmp_path / "node")


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [("2048", "4096", "altered: it is that of other graphs"), ('"files"', '"flies"', "not a manifest of graphs: ")],
)
def test_a_manifest_that_was_written_to_is_refused(
    store: GraphStore, tmp_path: Path, was: str, becomes: str, said: str
) -> None:
    path = tmp_path / "kept" / KEY / "manifest.json"
    path.write_text(path.read_text().replace(was, becomes, 1))
    with pytest.raises(GraphError, match=said):
        store.fetch(tmp_path / "node")


def test_a_node_keeps_what_is_whole_and_nothing_else(store: GraphStore, tmp_path: Path) -> None:
    node = tmp_path / "node"
    store.fetch(node)
    neffs = {name: folder / "model.neff" for name, folder in modules(node).items()}
    neffs[MODULES[0]].write_bytes(b"rotten")
    before = neffs[MODULES[1]].stat().st_ino
    compiled(node, "MODULE_of_another_day+39f12043")

    store.fetch(node)

    assert set(modules(node)) == set(MODULES)
    assert neffs[MODULES[0]].read_bytes() == kept(tmp_path).read_bytes()
    assert neffs[MODULES[1]].stat().st_ino == before


def test_read_and_missing_graphs_are_counted(
    store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    store.fetch(node)
    monkeypatch.setattr(caches, "_records_reads", lambda cache: True)
    found = tally(node, expected(node))
    assert (found.expected, found.hit, found.missed) == (2, 0, 0)

    read = modules(node)[MODULES[0]] / "model.neff"
    os.utime(read, ns=(1, read.stat().st_mtime_ns))  # as a kernel does that records when a file is read
    compiled(node, "MODULE_new+39f12043")
    found = tally(node, expected(node))
    assert (found.expected, found.hit, found.missed) == (2, 1, 1)


def test_where_reads_are_not_recorded_hits_are_unknown(
    store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    store.fetch(node)
    monkeypatch.setattr(caches, "_was_read", lambda path: False)
    assert tally(node, expected(node)).hit is None
    assert not list(node.glob(".*"))
