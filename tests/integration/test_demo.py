"""The demo as a person runs it: interrupted while it deploys and while it trains, then seen through to its report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


class Terminal:
    """One `paceline demo` in a terminal of its own."""

    def __init__(self, directory: Path) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                # who runs the tests may ignore Ctrl-C, as a shell's background jobs do; a terminal's commands do not
                "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
                "from paceline.cli.main import main; main()",
                "demo",
                "--directory",
                str(directory),
                "--recipe",
                "debug-tiny",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def read_until(self, text: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if text in line:
                return
        pytest.fail(f"it ended without {text!r}:\n{''.join(self.lines)}")

    def press_ctrl_c(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)

    def exit_code(self) -> int:
        assert self._process.stdout is not None
        self.lines += list(self._process.stdout)
        return self._process.wait(60)


def left_behind(directory: Path) -> list[str]:
    """The processes of `directory` that still live ten seconds later: what was killed may need a moment to be gone."""
    deadline = time.monotonic() + 10
    while (living := processes_of(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return living


def processes_of(directory: Path) -> list[str]:
    """Command lines of living processes that name `directory`, in arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in text and process.name != str(os.getpid()):
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.timeout(400)
def test_interrupted_twice_it_still_ends_with_a_healed_run_and_a_report(tmp_path: Path) -> None:
    directory = tmp_path / "demo"

    deploying = Terminal(directory)
    deploying.read_until("deploying")
    deploying.press_ctrl_c()
    assert deploying.exit_code() == 130, "".join(deploying.lines)
    assert "Traceback" not in "".join(deploying.lines)
    assert left_behind(directory) == []

    training = Terminal(directory)
    training.read_until("Step 2 of 12")
    training.press_ctrl_c()
    assert training.exit_code() == 130, "".join(training.lines)
    assert "stopping after this step" in "".join(training.lines)
    assert "Traceback" not in "".join(training.lines)
    assert left_behind(directory) == []

    whole = Terminal(directory)
    assert whole.exit_code() == 0, "".join(whole.lines)
    assert "going on with an unfinished demo" in whole.lines[0]
    assert [line[:5] for line in whole.lines if line.startswith("[")] == [f"[{n}/7]" for n in range(1, 8)]
    assert left_behind(directory) == []
    assert_summary_is_sound(json.loads((directory / "summary.json").read_text()))
    assert_report_is_whole((directory / "report.html").read_text())
    resumed = (directory / "resumed" / "journal" / "coordinator.jsonl").read_text()
    assert '"restore_from":"manifest","restore_step":12' in resumed


def assert_summary_is_sound(figures: dict[str, object]) -> None:
    stacks = figures["deployed_stacks"]
    assert isinstance(stacks, list)
    first, *between, last = stacks  # the two between need only the first: CDK deploys them in either order
    assert (first, last) == ("sandbox-Foundation", "sandbox-Record")
    assert sorted(between) == ["sandbox-Registry", "sandbox-Storage"]
    assert figures["restored_from"] == "memory"
    assert figures["checkpoint_verified"] is True
    for key in ("fault_step", "resumed_step", "lost_steps", "recovery_seconds", "detect_seconds"):
        assert isinstance(figures[key], int | float), key
    assert figures["lost_steps"] in (0, 1)
    assert figures["train_tokens"] == 12 * 512
    wall, nodes, by_class = figures["wall_seconds"], figures["nodes"], figures["seconds_by_class"]
    assert isinstance(wall, float) and isinstance(nodes, int) and isinstance(by_class, dict)
    assert sum(by_class.values()) == pytest.approx(wall * nodes, abs=1e-6)
    assert 0 < float(str(figures["goodput"])) <= 1


def assert_report_is_whole(page: str) -> None:
    assert "node lost" in page and "sandbox-Foundation" in page
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")
