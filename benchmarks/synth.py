"""How long synthesis takes, for 1, 2 and 5 teams.

    python -m benchmarks.synth [--repeat N] [--save]

`whole` is `python app.py` with CDK's built-in validation off; `beyond import` is what is left of its median after the
median time that Python, Node and the libraries take to start.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import ROOT, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.spec.errors import DeployError

TEAMS = (1, 2, 5)
GOAL_SECONDS = 2.0
START_UP = (
    "from aws_cdk import App, aws_ec2, aws_ecr, aws_fsx, aws_kms, aws_logs, aws_s3, aws_ssm; import cdk_nag; App()"
)


def copy_with_teams(directory: Path, count: int) -> None:
    """The app with `count` teams that differ in name and addresses."""
    directory.mkdir()
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, directory)
    shutil.copytree(ROOT / "stacks", directory / "stacks")
    parameters = directory / "stacks" / "parameters"
    sandbox = (parameters / "sandbox.yaml").read_text(encoding="utf-8")
    for number in range(1, count):
        team = sandbox.replace("10.64.", f"10.{64 + number}.")
        (parameters / f"team{number}.yaml").write_text(team, encoding="utf-8")


def timed(arguments: list[str], directory: Path, repeat: int) -> list[float]:
    """Seconds of each run of Python with `arguments`. DeployError when one fails."""
    rooms = os.pathsep.join(str(ROOT / room) for room in ("training", "constructs"))
    environment = os.environ | {"PYTHONPATH": rooms, "CDK_VALIDATION": "false", "CDK_OUTDIR": str(directory / "out")}
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        code = subprocess.run([sys.executable, *arguments], cwd=directory, env=environment).returncode
        seconds.append(time.perf_counter() - start)
        if code:
            raise DeployError(f"synthesis ended with code {code}, see above", "make synth shows it alone")
    return seconds


def measure(repeat: int, say: Say) -> Report:
    """All repetitions for each number of teams."""
    rows = []
    with workspace() as workplace:
        for count in TEAMS:
            say(f"teams: {count}")
            directory = workplace / f"teams-{count}"
            copy_with_teams(directory, count)
            start_up = timed(["-c", START_UP], directory, repeat)
            whole = timed(["app.py"], directory, repeat)
            stacks = len(list((directory / "out").glob("assembly-*/*.template.json")))
            beyond = statistics.median(whole) - statistics.median(start_up)
            rows.append((str(count), str(stacks), *spread(whole), f"{beyond:.2f}"))
    return Report(
        title="Synthesis of the infrastructure",
        table=Table(
            columns=("teams", "stacks", *(f"whole s, {name}" for name in SPREAD), "beyond import s"), rows=tuple(rows)
        ),
        notes=(f"n = {repeat}. Goal: one team at most {GOAL_SECONDS} s beyond import.",),
    )


if __name__ == "__main__":
    sys.exit(command("synth", __doc__, measure, repeat=3))
