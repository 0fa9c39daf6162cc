"""The Slurm client against commands that answer as Slurm does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paceline.clients.slurm import SlurmCommands
from paceline.spec.errors import ClusterError

_NODE = {
    "name": "gpu-1",
    "state": ["IDLE", "DRAIN"],
    "reason": "paceline: nvidia.xid.79",
    "extra": "",
    "features": ["p5.48xlarge"],
}
_JOB = {"job_id": 7, "job_state": ["RUNNING"], "user_name": "ada", "nodes": "gpu-[1-2]", "requeue": True}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of commands, first on PATH; what they are asked for is appended to `asked`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def install(commands: Path, name: str, answer: object, code: int = 0) -> None:
    (commands / f"{name}.json").write_text(json.dumps(answer))
    script = commands / name
    log, answers = commands / "asked", commands / f"{name}.json"
    script.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\ncat {answers}\nexit {code}\n')
    script.chmod(0o755)


def test_nodes_and_jobs_are_read(commands: Path) -> None:
    install(commands, "scontrol", {"nodes": [_NODE]})
    install(commands, "squeue", {"jobs": [_JOB]})

    node = SlurmCommands().node("gpu-1")
    [job] = SlurmCommands().jobs("gpu-1")

    assert (node.states, node.features) == (("IDLE", "DRAIN"), ("p5.48xlarge",))
    assert (job.id, job.state, job.requeue) == (7, "RUNNING", True)
    assert "--nodelist gpu-1" in (commands / "asked").read_text()


def test_a_node_is_drained_with_a_reason_and_a_requeued_job_starts_at_once(commands: Path) -> None:
    install(commands, "scontrol", {})

    SlurmCommands().set_state("gpu-1", "DRAIN", "paceline: nvidia.xid.79")
    SlurmCommands().start_now(7)

    assert (commands / "asked").read_text().splitlines() == [
        "scontrol update NodeName=gpu-1 State=DRAIN Reason=paceline: nvidia.xid.79",
        "scontrol update JobId=7 StartTime=now",
    ]


def test_what_slurm_refuses_is_told_in_its_words(commands: Path) -> None:
    install(commands, "scontrol", "slurm_update error: Invalid node name specified", code=1)

    with pytest.raises(ClusterError, match="Invalid node name"):
        SlurmCommands().set_state("gpu-9", "DOWN", "gone")


def test_without_slurm_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ClusterError, match="scontrol: not installed"):
        SlurmCommands().nodes()
