"""How long synthesis takes for 1 to 100 teams, and beside it AWS ParallelCluster for one cluster.

    python -m benchmarks.synth [--repeat N] [--save]

A run is `python app.py` as a process, from start to exit, with the templates written and cdk-nag and paceline's own
validators on. The teams are the shipped ones in turn, under other names, accounts and addresses. "every check" adds
CDK's own check of the templates, as in `make synth`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import peer_environment
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import ROOT, workspace
from benchmarks.common.process import Cost, cost
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.local.cdk import node_binary
from paceline.spec.errors import LaunchError

TEAMS = (1, 5, 20, 100)
EVERY_CHECK = (1, 20)
SHIPPED = ("speech", "vision", "sandbox")
GOAL = "Goals: 1 team at most 2 s, a further team at most 0.15 s, a team at least 3 times faster than ParallelCluster."

(PEER,) = peer_environment.packages("parallelcluster")
PEERS = ROOT / "benchmarks" / "peers"
PEER_NOTES = (
    "Of aws-parallelcluster: load the configuration and build the templates, as `pcluster create-cluster` does, but "
    "without its validators, and with AWS's answers from a file, so that it never waits.",
    "Its cluster is the team `speech` as far as it makes it: no network, keys, registry, budget or roles of people.",
)
PEER_COMMAND = [str(PEERS / f"parallelcluster{name}") for name in (".py", ".yaml", "_answers.yaml")]


def copy_with_teams(directory: Path, count: int) -> None:
    """The app with `count` teams."""
    (directory / "images").mkdir(parents=True)
    for name in ("app.py", "cdk.json", "images/versions.toml"):
        shutil.copy(ROOT / name, directory / name)
    parameters = directory / "stacks" / "parameters"
    shutil.copytree(ROOT / "stacks", directory / "stacks", ignore=shutil.ignore_patterns("__pycache__"))
    texts = {name: (parameters / f"{name}.yaml").read_text(encoding="utf-8") for name in SHIPPED}
    for file in parameters.glob("*.yaml"):
        if file.stem != "platform":
            file.unlink()
    for number in range(count):
        name = SHIPPED[number % len(SHIPPED)]
        (parameters / f"{name}-{number}.yaml").write_text(another(texts[name], number), encoding="utf-8")


def another(team: str, number: int) -> str:
    """The file of `team` in an account and with addresses of its own."""
    return re.sub(r"\b10\.6[4-6]\.", f"10.{number}.", team).replace("123456789012", f"{10**11 + number}")


def environment(workplace: Path) -> dict[str, str]:
    """This one's, and bytecode is kept in `workplace`: measured is what every start but the first finds."""
    rooms = os.pathsep.join(str(ROOT / room) for room in ("training", "constructs"))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    node = node_binary()
    return kept | {
        "PYTHONPATH": rooms,
        "PYTHONPYCACHEPREFIX": str(workplace / "bytecode"),
        "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")]),
        "JSII_NODE": str(node),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    }


def ours(workplace: Path, count: int, repeat: int, *, every_check: bool) -> tuple[list[Cost], tuple[str, str]]:
    """What each run cost; how many stacks and resources it made. One run before warms the caches."""
    directory = workplace / f"teams-{count}-{every_check}"
    copy_with_teams(directory, count)
    out = directory / "out"
    settings = {"CDK_OUTDIR": str(out), "CDK_VALIDATION": str(every_check).lower()}
    runs = [
        cost([sys.executable, "app.py"], directory=directory, environment=environment(workplace) | settings)
        for _ in range(repeat + 1)
    ]
    templates = list(out.glob("assembly-*/*.template.json"))
    resources = sum(len(json.loads(path.read_bytes())["Resources"]) for path in templates)
    return runs[1:], (str(len(templates)), str(resources))


def peer_python(say: Say) -> Path | None:
    """The Python of an environment that has the peer; None where it cannot be had."""
    try:
        return peer_environment.python("parallelcluster", say)
    except LaunchError as error:
        say(error.render())
        return None


def theirs(python: Path, workplace: Path, repeat: int) -> list[Cost]:
    """What one cluster costs the peer, after one run that warms its caches."""
    settings = environment(workplace)
    del settings["PYTHONPATH"]
    run = [str(python), *PEER_COMMAND]
    return [cost(run, directory=workplace, environment=settings) for _ in range(repeat + 1)][1:]


def row(label: str, count: int, stacks: str, resources: str, costs: Sequence[Cost], further: str) -> tuple[str, ...]:
    """One line of the table."""
    seconds = spread([run.seconds for run in costs])
    processors = statistics.median(run.cpu_seconds for run in costs)
    peak = max(run.peak_mb for run in costs)
    return (label, str(count), stacks, resources, *seconds, further, f"{processors:.2f}", f"{peak:.0f}")


def median(costs: Sequence[Cost]) -> float:
    """Of the seconds."""
    return statistics.median(run.seconds for run in costs)


def measure(repeat: int, say: Say) -> Report:
    """All repetitions for each number of teams, then the peer's."""
    rows = []
    medians: dict[tuple[bool, int], float] = {}
    peer_notes: tuple[str, ...] = (f"{PEER} could not be installed, see above: no row of it.",)
    with workspace() as workplace:
        for every_check, counts in ((False, TEAMS), (True, EVERY_CHECK)):
            label = "paceline, every check" if every_check else "paceline"
            for count in counts:
                say(f"{label}: {count} teams")
                costs, made = ours(workplace, count, repeat, every_check=every_check)
                medians[every_check, count] = median(costs)
                further = f"{(median(costs) - medians[every_check, 1]) / (count - 1):.2f}" if count > 1 else "-"
                rows.append(row(label, count, *made, costs, further))
        if python := peer_python(say):
            say("ParallelCluster: 1 cluster")
            costs = theirs(python, workplace, repeat)
            most = max(TEAMS)
            stacks, resources = costs[0].last_line.split()
            rows.append(row(PEER.replace("==", " "), 1, stacks, resources, costs, "-"))
            peer_notes = (
                f"aws-parallelcluster takes {median(costs) / medians[False, 1]:.1f} times as long for a cluster as "
                f"paceline for one team, and {median(costs) * most / medians[False, most]:.1f} times its share "
                f"of one team in {most}. It makes one cluster per process.",
                *PEER_NOTES,
            )
    columns = ("", "teams", "stacks", "resources", *(f"s, {name}" for name in SPREAD), "s per further team")
    return Report(
        title="Synthesis of the infrastructure",
        table=Table(columns=(*columns, "CPU s, median", "peak MB"), rows=tuple(rows)),
        notes=(f"n = {repeat}, after one run that is not counted. {GOAL}", *peer_notes),
    )


if __name__ == "__main__":
    sys.exit(command("synth", __doc__, measure, repeat=3))
