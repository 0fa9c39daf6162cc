"""What a command costs: its seconds, its memory, its failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.common.process import cost, resident_bytes
from paceline.spec.errors import LaunchError


def test_time_of_processors_and_last_word_are_told(tmp_path: Path) -> None:
    found = cost([sys.executable, "-c", "print('one'); print('two')"], directory=tmp_path, environment=os.environ)
    assert found.last_line == "two"
    assert found.seconds > 0
    assert found.cpu_seconds > 0


def test_memory_of_a_process_is_that_of_its_children_too() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        mine, its = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in (os.getpid(), child.pid))
        assert resident_bytes(os.getpid()) >= (mine + its) * 0.9
        assert child.stdin is not None
        child.stdin.close()
    assert resident_bytes(child.pid) == 0


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"]
    with pytest.raises(LaunchError, match="ended with code 3:\nno such thing"):
        cost(command, directory=tmp_path, environment=os.environ)
