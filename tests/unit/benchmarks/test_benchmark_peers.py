"""What a benchmark starts, and what it reads off what peers print."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.common import peer_environment
from benchmarks.common.peer_run import Command, PeerRun
from benchmarks.recovery import OURS, TORCHRUN, Trial, rows, times_as_fast
from benchmarks.train import step_seconds
from paceline.spec.job import JobSpec


def test_peers_are_pinned_and_share_our_torch() -> None:
    own = version("torch").partition("+")[0]
    for peer in ("training", "torchft", "nvidia-resiliency-ext"):
        wanted = peer_environment.packages(peer)
        assert wanted[0] == f"torch=={own}"
        assert "==" in wanted[1]


def test_an_environment_that_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(peer_environment.venv, "create", lambda directory, **more: pytest.fail("made again"))
    said: list[str] = []
    with pytest.raises(pytest.fail.Exception, match="made again"):
        peer_environment.python("torchft", said.append)
    [said_once] = said
    directory = Path(said_once.rpartition(" ")[2])
    directory.mkdir(parents=True)
    (directory / "complete").touch()
    assert peer_environment.python("torchft", said.append) == directory / "bin" / "python"
    assert len(said) == 1


def test_seconds_are_read_between_whatever_else_a_peer_prints() -> None:
    assert step_seconds("a warning\n0.5\n[step 1] 0.7\n 1.25 \n") == [0.5, 1.25]


def peer_run(directory: Path, script: str, tells: bytes) -> PeerRun:
    job = JobSpec.model_construct(journal=str(directory))
    command = Command(arguments=(sys.executable, "-c", script), environment={"WORD": "lost"})
    return PeerRun(job, directory, [command], tells=tells)


def test_the_first_word_about_a_dead_worker_is_its_detection(tmp_path: Path) -> None:
    script = "import os; print('worker', os.environ['WORD'])"
    with peer_run(tmp_path, script, b"worker lost") as run:
        assert list(run.events(60.0)) == []  # it ends by itself
    assert run.detected is not None
    assert "worker lost" in str(run.failure())


def test_a_peer_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with peer_run(tmp_path, "import time; time.sleep(600)", b"never") as run:
        assert list(run.events(0.2)) == []
    assert run.detected is None
    assert "without a word" in str(run.failure())


def test_a_run_that_did_not_come_back_is_counted_and_has_no_figures() -> None:
    trials = {OURS: [Trial(1, 0)], TORCHRUN: [Trial(1, 0)]}
    assert {row[1:] for row in rows(trials)} == {("0 of 1", "-", "-", "-")}
    assert "did not come back" in times_as_fast(trials)
