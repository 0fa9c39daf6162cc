"""How long the main job takes: runs `paceline demo` in a temporary directory and times its steps.

python -m benchmarks.demo [--repeat N] [--save]
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import ROOT, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.journal.summary import Summary
from paceline.local.demo import SUMMARY_NAME
from paceline.spec.errors import LaunchError

GOAL_SECONDS, AIM_SECONDS = 300, 180
TOTAL = "all steps, and starting Python"
_STEP = re.compile(r"\[(\d+)/\d+\] (.+)")
_LEAVE_SECONDS = 10.0
_FIGURES = ("detect_seconds", "recovery_seconds", "lost_steps", "goodput")


@contextmanager
def started(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a child that is interrupted, as by Ctrl-C, if it is still there at the end."""
    arguments = ["demo", "--directory", str(directory), "--output", "json"]
    with subprocess.Popen(
        [sys.executable, "-c", "from paceline.cli.main import main; main()", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(number)
                    try:
                        process.wait(_LEAVE_SECONDS)
                    except subprocess.TimeoutExpired:
                        continue


def run(directory: Path, say: Say) -> tuple[dict[str, float], Summary]:
    """Seconds of each step by its title, and the figures of the run. LaunchError with the demo's last words."""
    begun = time.monotonic()
    marks: list[tuple[str, float]] = []
    last = ""
    with started(directory) as process:
        assert process.stderr is not None
        for line in process.stderr:
            last = line.strip() or last
            if found := _STEP.fullmatch(line.strip()):
                marks.append((f"{found[1]}. {found[2]}", time.monotonic()))
                say(line.rstrip())
        code = process.wait()
    ended = time.monotonic()
    if code:
        raise LaunchError(f"the demo ended with code {code}: {last}", "run it by itself: make demo")
    ends = [mark for _, mark in marks[1:]] + [ended]
    seconds = {title: end - mark for (title, mark), end in zip(marks, ends, strict=True)}
    summary = Summary.model_validate_json((directory / SUMMARY_NAME).read_text(encoding="utf-8"))
    return {**seconds, TOTAL: ended - begun}, summary


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, each in a new directory."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    figures: defaultdict[str, list[float]] = defaultdict(list)
    with workspace() as directory:
        for number in range(repeat):
            say(f"{number + 1} of {repeat}")
            times, summary = run(directory / f"demo-{number}", say)
            for title, value in times.items():
                seconds[title].append(value)
            for name in _FIGURES:
                figures[name].append(float(getattr(summary, name)))
    rows = [(f"{title}, s", *spread(values, 1)) for title, values in seconds.items()]
    rows += [(f"summary.json: {name}", *spread(values)) for name, values in figures.items()]
    return Report(
        title="The demo, from a set-up checkout",
        table=Table(columns=(f"step (n = {repeat})", *SPREAD), rows=tuple(rows)),
        notes=(
            f"Goal: at most {GOAL_SECONDS} s after the downloads, on 2 cores; aim: {AIM_SECONDS} s.",
            "A step lasts from its line to the next one; the last holds leaving Python too. The kill and the recovery"
            " happen while step 4 trains.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("demo", __doc__, measure, repeat=1))
