"""Nodes that come and go behind relays."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paceline.chaos.relayed import RelayedRun


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayedRun]:
    def spawn(*arguments: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], start_new_session=True)

    told = SimpleNamespace(model_dump_json=lambda indent: "{}")
    job: Any = SimpleNamespace(
        nodes=1,
        spares=1,
        journal=str(tmp_path / "journal"),
        environment={},
        coordinator_port=1,
        model_copy=lambda update: told,
    )
    local = RelayedRun(job, tmp_path, {})
    monkeypatch.setattr(local, "_spawn", spawn)
    for node in ("node-0", "node-1"):
        local.start_node(node)
    yield local
    local.kill()


def test_a_node_that_is_exchanged_is_gone_and_another_has_a_new_name_and_relay(run: RelayedRun) -> None:
    gone, relay = run.nodes["node-0"], run.relays["node-0"]
    run.exchange_node("node-0")
    assert gone.returncode is not None
    assert list(run.nodes) == list(run.relays) == ["node-1", "node-2"]
    assert run.nodes["node-2"].poll() is None
    assert run.ports == [1, relay.port, run.relays["node-1"].port, run.relays["node-2"].port]


def test_a_node_that_is_started_again_keeps_its_relay(run: RelayedRun) -> None:
    relay = run.relays["node-0"]
    run.kill_node("node-0")
    run.nodes["node-0"].wait()
    run.start_node("node-0")
    assert run.relays["node-0"] is relay
    assert len(run.ports) == 3
