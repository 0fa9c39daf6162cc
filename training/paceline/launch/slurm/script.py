"""The sbatch script of a run: what a person reads before it is submitted, and what can be submitted without us."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from paceline.spec.job import JobSpec
from paceline.spec.names import SLURM_NOTICE_SECONDS

SCRIPT_NAME = "job.sbatch"

_SCRIPT = """\
#!/bin/bash
# Run {run}: {nodes} nodes train, {spares} stand by. Submitted again, it goes on from its newest checkpoint.
# Account, partition, QOS and time limit: SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_QOS, SBATCH_TIMELIMIT when it is
# submitted, or more lines here.
#SBATCH --job-name={run}
#SBATCH --nodes={all_nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --output={directory}/slurm-%j.log
#SBATCH --open-mode=append
# a lost node costs the run its place there, not the job
#SBATCH --no-kill
# the last resort: too few nodes are left
#SBATCH --requeue
# before the time limit or a preemption: a last checkpoint, then requeue
#SBATCH --signal=B:USR1@{notice}
set -eu

# Only the processes of this job know it.
PACELINE_RUN_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')
export PACELINE_RUN_TOKEN

# Here the coordinator, and through srun a supervisor on every node.
exec {python} -m paceline.launch.slurm.batch {place}
"""


def script(job: JobSpec, directory: Path) -> str:
    """The script of the run that was rendered into `directory`, which all nodes see at the same path. It runs with the
    Python that renders it."""
    return _SCRIPT.format(
        run=job.run,
        nodes=job.nodes,
        spares=job.spares,
        all_nodes=job.nodes + job.spares,
        notice=SLURM_NOTICE_SECONDS,
        directory=directory.absolute(),
        python=shlex.quote(sys.executable),
        place=shlex.quote(str(directory.absolute())),
    )
