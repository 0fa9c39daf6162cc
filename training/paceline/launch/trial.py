"""The ranks of one node in a trial run, of which Neuron's compiler collects the graphs.

    python -m paceline.launch.trial JOB_FILE HOST PORT VARIABLE      (run by neuron_parallel_compile, see warm_up.py)

`VARIABLE` names the variable of the environment that holds the number of this node. HOST is that of node 0, where rank
0 listens on PORT.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from paceline.launch.slurm.address import address_towards, interface_of
from paceline.spec.job import JobSpec
from paceline.supervise.process import die_with_parent

_POLL_SECONDS = 0.2


def main() -> None:
    """Until all ranks of the node have ended, or one has failed: the others would wait for it."""
    die_with_parent(os.getppid())
    job_file, host, port, variable = sys.argv[1:]
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    first = int(os.environ[variable]) * job.workers_per_node
    interface = interface_of(address_towards(host))
    environment = os.environ | ({"GLOO_SOCKET_IFNAME": interface} if interface else {})
    ranks = [
        subprocess.Popen(
            [sys.executable, "-u", "-m", "paceline.train.trial", job_file, str(rank), host, port, str(os.getpid())],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        for rank in range(first, first + job.workers_per_node)
    ]
    while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
        time.sleep(_POLL_SECONDS)
    codes = [rank.poll() for rank in ranks]
    for rank in ranks:
        rank.kill()
        rank.wait()
    sys.exit(next((1 for code in codes if code != 0), 0))


if __name__ == "__main__":
    main()
