"""The controller as a process, over nodes that are processes: killed in an incident, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paceline.heal.fleets.base import Node
from paceline.heal.fleets.local import LocalFleet
from paceline.spec.health import Finding, Result

AGENT = Path(__file__).parent / "fixtures" / "node_agent.py"

pytestmark = pytest.mark.integration


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    fleet = LocalFleet(tmp_path / "nodes")
    for name in ("n0", "n1"):
        fleet.start(name, (sys.executable, str(AGENT)))
    yield fleet
    fleet.stop()


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from paceline.cli.main import main; main()", "controller"]
        command += ["--root", str(tmp_path / "nodes"), "--evidence", str(tmp_path / "evidence")]
        command += ["--journal", str(tmp_path / "journal"), "--period", "0.1", "--metrics-port", "0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def node(fleet: LocalFleet, name: str) -> Node:
    return next(node for node in fleet.nodes() if node.name == name)


def test_a_controller_that_is_killed_in_an_incident_is_followed_by_one_that_ends_it(
    fleet: LocalFleet, controller: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    before = node(fleet, "n0")
    finding = Finding(
        node="n0", check="xid", result=Result.FAIL, time=datetime.now(UTC), fault="nvidia.xid.79", evidence="Xid 79"
    )
    (tmp_path / "nodes" / "n0" / "findings.json").write_text(f"[{finding.model_dump_json()}]")

    first = controller()
    wait_for(lambda: node(fleet, "n0").case is not None)
    first.kill()
    first.wait()
    second = controller()
    assert second.stderr is not None
    ready = second.stderr.readline()
    wait_for(lambda: node(fleet, "n0").case is None and node(fleet, "n0").boot != before.boot)

    after = node(fleet, "n0")
    assert (after.machine, after.cordoned, after.silent_since) == (before.machine, False, None)
    port = ready.split("metrics on port ")[1].split(",")[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    assert 'paceline_heal_nodes{team=""} 2' in metrics
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=10) == 0
    events = [json.loads(line) for line in (tmp_path / "journal" / "controller.jsonl").read_text().splitlines()]
    started = [event for event in events if event["kind"] == "action.started"]
    assert {event["action"] for event in started} == {"reboot"}
    assert len(list((tmp_path / "evidence" / "evidence").iterdir())) == 1
    assert os.getpgid(json.loads((tmp_path / "nodes" / "n0" / "node.json").read_text())["pid"]) > 0
