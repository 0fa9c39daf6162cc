"""Supervisors that end before training begins: told at once, with what they said last."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from paceline.launch.local.run import LocalRun
from paceline.spec.errors import LaunchError


@pytest.fixture
def run(tmp_path: Path) -> LocalRun:
    job = SimpleNamespace(run="test", nodes=1, spares=1, journal=str(tmp_path / "journal"), environment={})
    local = LocalRun(job, tmp_path, {})  # type: ignore[arg-type]
    for name in ("node-0", "node-1"):
        log = tmp_path / "nodes" / name / "supervisor.log"
        log.parent.mkdir(parents=True)
        log.write_text("Traceback\nModuleNotFoundError: No module named 'xxhash'\n")
    return local


def end(run: LocalRun, name: str, code: int) -> None:
    run.nodes[name] = subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({code})"])
    run.nodes[name].wait()


def test_too_few_supervisors_are_left(run: LocalRun) -> None:
    end(run, "node-0", 1)
    end(run, "node-1", 3)
    with pytest.raises(
        LaunchError, match="node-0: its supervisor ended with code 1 .*No module named 'xxhash'"
    ) as caught:
        run._check_that_it_can_begin()
    assert "supervisor.log" in str(caught.value.problems[0].hint)


def test_one_of_enough_does_not_matter(run: LocalRun) -> None:
    end(run, "node-1", 1)
    run.nodes["node-0"] = SimpleNamespace(poll=lambda: None)  # type: ignore[assignment]
    run._check_that_it_can_begin()


def test_those_that_were_told_to_leave_did_not_fail(run: LocalRun) -> None:
    """The coordinator gave up and dismissed them; its reason is in the journal a moment later."""
    end(run, "node-0", 0)
    end(run, "node-1", 0)
    run._check_that_it_can_begin()
