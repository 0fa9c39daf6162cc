"""The Slurm client against commands that answer as Slurm does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paceline.clients.slurm import SlurmCommands, SlurmJob
from paceline.spec.errors import ClusterError

_NODE = {
    "name": "gpu-1",
    "state": ["IDLE", "DRAIN"],
    "reason": "paceline: nvidia.xid.79",
    "extra": "",
    "comment": "{}",
}


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


def test_a_node_is_read_with_its_notes(commands: Path) -> None:
    install(commands, "scontrol", {"nodes": [_NODE]})

    node = SlurmCommands().node("gpu-1")

    assert (node.states, node.reason, node.comment) == (("IDLE", "DRAIN"), "paceline: nvidia.xid.79", "{}")
    assert SlurmCommands().show("nodes") == [_NODE]
    assert (commands / "asked").read_text().splitlines() == [
        "scontrol show node gpu-1 --json",
        "scontrol show nodes --json",
    ]


def test_a_node_is_drained_with_a_reason_and_a_requeued_job_starts_at_once(commands: Path) -> None:
    install(commands, "scontrol", {})

    SlurmCommands().set_state("gpu-1", "DRAIN", "paceline: nvidia.xid.79")
    SlurmCommands().update(JobId="7", StartTime="now")
    SlurmCommands().create(ReservationName="test", Nodes="gpu-1")
    SlurmCommands().delete(ReservationName="test")
    SlurmCommands().reboot("gpu-1", "repair")

    assert (commands / "asked").read_text().splitlines() == [
        "scontrol update NodeName=gpu-1 State=DRAIN Reason=paceline: nvidia.xid.79",
        "scontrol update JobId=7 StartTime=now",
        "scontrol create reservation ReservationName=test Nodes=gpu-1",
        "scontrol delete ReservationName=test",
        "scontrol reboot ASAP nextstate=DOWN reason=repair gpu-1",
    ]


def test_what_slurm_refuses_is_told_in_its_words(commands: Path) -> None:
    install(commands, "scontrol", "slurm_update error: Invalid node name specified", code=1)

    with pytest.raises(ClusterError, match="Invalid node name"):
        SlurmCommands().set_state("gpu-9", "DOWN", "gone")


def test_without_slurm_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ClusterError, match="scontrol: not installed"):
        SlurmCommands().show("nodes")


def test_a_job_is_submitted_looked_at_and_requeued(commands: Path) -> None:
    row = {
        "job_id": 7,
        "job_state": ["PENDING"],
        "state_reason": "BeginTime",
        "node_count": {"set": True, "infinite": False, "number": 3},
        "nodes": "gpu-[1-3]",
        "restart_cnt": 1,
    }
    install(commands, "scontrol", {"jobs": [row]})
    (commands / "sbatch").write_text("#!/bin/sh\necho '7;cluster'\n")
    (commands / "sbatch").chmod(0o755)
    slurm = SlurmCommands()

    assert slurm.submit(Path("job.sbatch")) == 7
    assert slurm.job(7) == SlurmJob(
        number=7, state="PENDING", reason="BeginTime", nodes=3, hosts="gpu-[1-3]", restarts=1
    )
    slurm.requeue(7)
    assert (commands / "asked").read_text().splitlines() == ["scontrol show job 7 --json", "scontrol requeue 7"]


def test_a_list_of_nodes_is_taken_apart_by_slurm(commands: Path) -> None:
    (commands / "scontrol").write_text("#!/bin/sh\nprintf 'gpu-1\\ngpu-2\\n'\n")
    (commands / "scontrol").chmod(0o755)
    assert SlurmCommands().host_names("gpu-[1-2]") == ["gpu-1", "gpu-2"]
