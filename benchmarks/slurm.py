"""How long faults on a real Slurm cluster cost a run: the scenes of tests/slurm, which make the cluster themselves.

python -m benchmarks.slurm [--repeat N] [--save]
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import ROOT, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.spec.errors import LaunchError

SCENES = "tests/slurm/test_slurm_scenes.py"


def run(results: Path, say: Say) -> dict[str, float]:
    """Seconds by what they measure; none where there can be no cluster. LaunchError when a scene fails."""
    arguments = ["-m", "pytest", "--quiet", SCENES, f"--junitxml={results}"]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    cases = list(ElementTree.parse(results).iter("testcase"))
    for why in [item for case in cases for item in case.iter("skipped")]:
        say(f"left out: {why.get('message')}")
    if done.returncode:
        raise LaunchError(f"{SCENES}: {done.stdout.strip().splitlines()[-1]}", f"see: pytest {SCENES}")
    found = {str(item.get("name")): float(str(item.get("value"))) for case in cases for item in case.iter("property")}
    for name, value in found.items():
        say(f"{name}: {value}")
    return found


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, each on a cluster of its own."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with workspace() as directory:
        for number in range(repeat):
            say(f"{number + 1} of {repeat}")
            for name, value in run(directory / f"{number}.xml", say).items():
                seconds[name].append(value)
    return Report(
        title="Faults on a Slurm cluster",
        table=Table(
            columns=(f"from the fault (n = {repeat})", *SPREAD),
            rows=tuple((name, *spread(values, 1)) for name, values in seconds.items()),
        ),
        notes=(
            "Slurm 24.11: slurmctld, slurmdbd with MariaDB, munge, and six slurmd with a network, host name and process"
            " tree each, all on this one machine; `debug-tiny` on two nodes, over gloo.",
            "A step counts if it was not done before the fault. Without a requeue the state came from memory, with one"
            " from the newest checkpoint.",
            "Aims: 5 s from an XID, 10 s from a cut cable. Slurm alone takes 27 to 29 s until it requeues the job of a"
            " lost node, and holds it for another 120 s.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("slurm", __doc__, measure, repeat=1))
