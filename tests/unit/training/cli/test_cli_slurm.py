"""`paceline slurm`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.clients import ec2
from paceline.clients.slurm import SlurmCommands

NODES = [{"name": "n1", "instance_id": "i-1"}, {"name": "n2", "instance_id": "i-2"}]


def topology(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["slurm", "topology", *arguments])


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlurmCommands, "version", lambda self: (24, 11))
    monkeypatch.setattr(SlurmCommands, "show", lambda self, kind: NODES)
    monkeypatch.setattr(ec2, "client", lambda region: None)


def say(monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]) -> None:
    monkeypatch.setattr(ec2, "switches", lambda client, machines: {m: switches[m] for m in machines if m in switches})


def test_the_switches_are_those_that_ec2_names(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, {"i-1": ("nn-a", "nn-b"), "i-2": ("nn-a", "nn-c")})
    shown = topology()
    assert shown.stdout.splitlines()[0] == "SwitchName=nn-a Switches=nn-b,nn-c"
    assert "2 nodes; write this to topology.conf" in shown.stderr
    assert json.loads(topology("-o", "json").stdout)["file"] == "topology.conf"


def test_a_node_of_which_ec2_does_not_tell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, {"i-1": ("nn-a",)})
    refused = topology()
    assert refused.exit_code == 1
    assert "n2: nobody says on which switch it hangs" in refused.stderr


def test_a_node_that_is_no_instance_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlurmCommands, "show", lambda self, kind: [*NODES, {"name": "n3", "instance_id": ""}])
    refused = topology()
    assert refused.exit_code == 3
    assert "n3: Slurm does not know which instance that is" in refused.stderr


def test_a_file_says_it_for_a_cluster_that_is_not_on_ec2(tmp_path: Path) -> None:
    file = tmp_path / "network.yaml"
    file.write_text("switches:\n  n1: [leaf]\n")
    assert topology("--switches", str(file)).stdout == "SwitchName=leaf Nodes=n1\n"
    file.write_text("switch:\n  n1: [leaf]\n")
    refused = topology("--switches", str(file))
    assert refused.exit_code == 1
    assert "network.yaml:1" in refused.stderr
