"""`paceline node`, `paceline agent` and `paceline catalog faults`: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app

_LOST = "3,2,89990000000,-;NVRM: Xid (PCI:0000:86:00): 79, GPU has fallen off the bus.\n"


def paceline(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The root of a healthy machine."""
    for path, text in {
        "proc/uptime": "90000.00 1.00",
        "proc/mounts": "",
        "proc/meminfo": "MemTotal:       2113407800 kB\n",
        "dev/kmsg": "6,1,100,-;Linux version 6.8\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_checks_are_listed_with_their_stages_and_what_they_find() -> None:
    rows = json.loads(paceline("node", "check", "--list", "-o", "json").stdout)
    [xid] = [row for row in rows if row["name"] == "gpu-xid"]
    assert len(rows) == 27
    assert "continuous" in xid["stages"]
    assert "efa-loopback" in paceline("node", "check", "--list").stdout


def test_a_healthy_machine_without_accelerators_is_ok(host: Path) -> None:
    done = paceline("node", "check", "memory", "kernel-errors", "--root", str(host))
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["OK memory", "OK kernel-errors"])


@pytest.mark.parametrize(
    ("record", "code", "word"),
    [
        (_LOST, 2, "CRITICAL gpu-xid: gpu nvidia.xid.79 NVRM: Xid"),
        (_LOST.replace(": 79,", ": 13,"), 1, "WARNING gpu-xid: gpu nvidia.xid.13 "),
        (_LOST.replace(": 79,", ": 999,"), 3, "UNKNOWN gpu-xid: nvidia.xid.999 is not in the catalog"),
    ],
)
def test_exit_codes_are_those_of_monitoring_plugins(host: Path, record: str, code: int, word: str) -> None:
    (host / "dev/kmsg").write_text(record)
    done = paceline("node", "check", "gpu-xid", "--instance-type", "p5.48xlarge", "--root", str(host))
    assert done.exit_code == code
    assert done.stdout.startswith(word)


def test_findings_are_data_for_programs(host: Path) -> None:
    (host / "dev/kmsg").write_text(_LOST)
    arguments = ("--instance-type", "p5.48xlarge", "--root", str(host), "--node", "n7", "-o", "json")
    [finding] = json.loads(paceline("node", "check", "gpu-xid", *arguments).stdout)
    assert (finding["node"], finding["result"], finding["fault"]) == ("n7", "fail", "nvidia.xid.79")


def test_mistakes_are_unknown_to_a_monitor_and_told_with_a_cure() -> None:
    """A 1 would be a warning about the node, and a 2 would drain it."""
    for arguments, message in (
        (("gpu-cont",), "gpu-cont: not a health check"),
        (("--instance-type", "p5.48xlarg"), "p5.48xlarg: not an instance type of the catalog"),
    ):
        done = paceline("node", "check", *arguments)
        assert done.exit_code == 3
        assert message in done.stderr
        assert "did you mean" in done.stderr


def test_an_agent_that_cannot_listen_says_so(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = paceline("agent", "--root", str(host), "--listen", "nowhere")
    assert (done.exit_code, "cannot serve metrics on nowhere" in done.stderr) == (1, True)
    done = paceline("agent", "--root", str(host), "--publish", "kubernetes")
    assert (done.exit_code, "not in a Kubernetes cluster" in done.stderr) == (3, True)


def test_a_fault_is_explained_with_its_sources() -> None:
    row = json.loads(paceline("catalog", "faults", "nvidia.xid.79", "-o", "json").stdout)
    assert (row["action"], row["escalation"], row["others"]["nvidia"]) == ("reboot", "replace", "RESTART_BM")
    assert row["sources"]


def test_faults_are_listed_and_what_nobody_says_is_a_dash() -> None:
    lines = paceline("catalog", "faults").stdout.splitlines()
    [xid] = [line for line in lines if line.startswith("nvidia.xid.172 ")]
    assert xid.split()[1:4] == ["device", "-", "-"]
    assert len(json.loads(paceline("catalog", "faults", "-o", "json").stdout)) == len(lines) - 1 > 500


@pytest.mark.parametrize(
    ("version", "code", "word"), [("580.95.05", 0, "OK drift"), ("570.86.15", 2, "CRITICAL drift")]
)
def test_a_driver_is_held_against_the_matrix_of_the_images(host: Path, version: str, code: int, word: str) -> None:
    (host / "sys/module/nvidia").mkdir(parents=True)
    (host / "sys/module/nvidia/version").write_text(f"{version}\n")
    matrix = Path(__file__).parents[4] / "images" / "versions.toml"
    node = ["--instance-type", "p5.48xlarge", "--root", str(host)]

    done = CliRunner().invoke(app, ["node", "check", "drift", *node], env={"PACELINE_MATRIX": str(matrix)})
    assert (done.exit_code, done.stdout.startswith(word)) == (code, True), done.output


def test_an_unreadable_driver_is_unknown(host: Path) -> None:
    matrix = Path(__file__).parents[4] / "images" / "versions.toml"
    node = ["--instance-type", "p5.48xlarge", "--root", str(host), "--matrix", str(matrix)]

    done = paceline("node", "check", "drift", *node)
    assert (done.exit_code, done.stdout.startswith("UNKNOWN drift")) == (3, True), done.output
