"""The ranks of a node in a trial run: all of them, in their places, and none alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.launch import trial
from paceline.spec.job import JobSpec

Commands = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def asked(make_neuron_job: Callable[..., JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """What is started on the second node of a run of two ranks a node; a rank runs the line in PACELINE_TEST_<n>."""
    job = tmp_path / "job.json"
    job.write_text(make_neuron_job(nodes=2).model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["trial", str(job), "127.0.0.1", "29500", "NODE"])
    monkeypatch.setenv("NODE", "1")
    monkeypatch.setattr(trial, "die_with_parent", lambda parent: None)
    began, commands = subprocess.Popen, Commands()

    def popen(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.Popen[bytes]:
        commands.append((command, env))
        return began(["sh", "-c", env[f"PACELINE_TEST_{command[5]}"]])

    monkeypatch.setattr(trial.subprocess, "Popen", popen)
    return commands


def run(monkeypatch: pytest.MonkeyPatch, *lines: str) -> int | str | None:
    for rank, line in enumerate(lines, start=2):
        monkeypatch.setenv(f"PACELINE_TEST_{rank}", line)
    with pytest.raises(SystemExit) as ended:
        trial.main()
    return ended.value.code


def test_a_node_has_the_ranks_after_those_of_the_nodes_before_it(
    asked: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "exit 0", "exit 0") == 0
    assert [command[2:4] + command[5:8] for command, _ in asked] == [
        ["-m", "paceline.train.trial", "2", "127.0.0.1", "29500"],
        ["-m", "paceline.train.trial", "3", "127.0.0.1", "29500"],
    ]
    assert all(environment["GLOO_SOCKET_IFNAME"] == "lo" for _, environment in asked)


def test_a_rank_that_fails_ends_those_that_would_wait_for_it(asked: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "exec sleep 60", "exit 3") == 1
    assert len(asked) == 2
