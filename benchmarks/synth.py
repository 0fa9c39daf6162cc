"""How long synthesis takes: `python benchmarks/synth.py [repetitions]` prints a table for 1, 2 and 5 teams.

`wall` is `python app.py` with CDK's built-in validation off, best of the repetitions; `beyond import` is what is left
of it after the time that Python, Node and the libraries take to start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEAMS = (1, 2, 5)
GOAL_SECONDS = 2.0
START_UP = (
    "from aws_cdk import App, aws_ec2, aws_ecr, aws_fsx, aws_kms, aws_logs, aws_s3, aws_ssm; import cdk_nag; App()"
)


def copy_with_teams(directory: Path, count: int) -> None:
    """The app with `count` teams that differ in name and addresses."""
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, directory)
    shutil.copytree(ROOT / "stacks", directory / "stacks")
    parameters = directory / "stacks" / "parameters"
    sandbox = (parameters / "sandbox.yaml").read_text(encoding="utf-8")
    for file in parameters.glob("*.yaml"):
        if file.stem not in ("platform", "sandbox"):
            file.unlink()
    for number in range(1, count):
        team = sandbox.replace("10.64.", f"10.{64 + number}.")
        (parameters / f"team{number}.yaml").write_text(team, encoding="utf-8")


def best(command: list[str], directory: Path, repetitions: int) -> float:
    """Seconds of the fastest run."""
    rooms = os.pathsep.join(str(ROOT / room) for room in ("training", "constructs"))
    environment = os.environ | {"PYTHONPATH": rooms, "CDK_VALIDATION": "false", "CDK_OUTDIR": str(directory / "out")}
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=directory, env=environment, check=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(repetitions: int) -> None:
    print(f"{'teams':>5}  {'stacks':>6}  {'wall s':>6}  {'beyond import s':>15}")
    for count in TEAMS:
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            copy_with_teams(directory, count)
            start_up = best(["-c", START_UP], directory, repetitions)
            wall = best(["app.py"], directory, repetitions)
            stacks = len(list((directory / "out").glob("assembly-*/*.template.json")))
            print(f"{count:>5}  {stacks:>6}  {wall:>6.2f}  {wall - start_up:>15.2f}", flush=True)
    print(f"goal: one team at most {GOAL_SECONDS} s beyond import")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
