"""A health agent beside a run: what it finds moves the run to the spare before anything has failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paceline.launch.local.run import LocalRun
from paceline.spec.events import AnyEvent, FaultDetected, GenerationOpened, StepFinished

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

_AGENT = "from paceline.cli.main import main; main()"
_XID = "3,2,90000000000,-;NVRM: Xid (PCI:0000:86:00): 79, pid=7, name=train, GPU has fallen off the bus.\n"


class Host:
    """What an agent sees of a node: a kernel log that the test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kmsg = root / "dev" / "kmsg"
        for path, text in {"proc/uptime": "90000.00 1.00", "proc/mounts": "", "proc/meminfo": ""}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        self._kmsg.parent.mkdir()
        self._kmsg.write_text("6,1,100,-;Linux version 6.8\n")

    def watch(self, node: str, directory: Path) -> subprocess.Popen[bytes]:
        what = ["--root", str(self.root), "--node", node, "--instance-type", "p5.48xlarge"]
        whom = ["--supervisors", str(directory), "--listen", "127.0.0.1:0"]
        log = (self.root / "agent.log").open("wb")
        command = [sys.executable, "-c", _AGENT, "agent", *what, *whom]
        return subprocess.Popen(command, stderr=log, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})

    def is_watched(self) -> bool:
        """Whether the agent has begun."""
        return b"gpu-xid" in (self.root / "agent.log").read_bytes()

    def lose_a_gpu(self) -> None:
        with self._kmsg.open("a") as log:
            log.write(_XID)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@pytest.fixture
def agents() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for agent in started:
        agent.terminate()
        assert agent.wait(20) == 0


def test_an_xid_moves_the_run_to_the_spare_before_anything_fails(
    train: Callable[..., Any],
    host: Host,
    agents: list[subprocess.Popen[bytes]],
    record_property: Callable[[str, object], None],
) -> None:
    times: dict[str, float] = {}

    def on_event(run: LocalRun, event: AnyEvent) -> None:
        if isinstance(event, GenerationOpened) and not agents:
            agents.append(host.watch("node-1", run.directory / "nodes" / "node-1"))
        if isinstance(event, StepFinished) and event.generation == 1:
            times.setdefault("next step", event.time.timestamp())
            run.request_stop()

    def strike(run: LocalRun, ranks: dict[int, str]) -> None:
        assert ranks[1] == "node-1"
        while not host.is_watched():
            time.sleep(0.05)
        times["xid"] = time.time()
        host.lose_a_gpu()

    outcome = train("xid", at=3, strike=strike, on_event=on_event, overrides=["schedule.steps=100000"])

    assert outcome.finished.outcome == "stopped"
    first, second = outcome.of(GenerationOpened)
    assert (first.ranks, second.ranks) == ({"node-0": 0, "node-1": 1}, {"node-0": 0, "node-2": 1})
    assert second.restore_from == "memory"
    [fault] = outcome.of(FaultDetected)
    assert (fault.fault, fault.target) == ("nvidia.xid.79", "node-1")
    seconds = times["next step"] - times["xid"]
    record_property("xid_to_next_step_seconds", round(seconds, 2))
    sys.stderr.write(f"\nXID to the next new step: {seconds:.2f} s\n")
    assert seconds < 15
