"""A task of `srun`: the supervisor of this node.

python -m paceline.launch.slurm.node DIRECTORY      (started by batch.py; the run's token is in the environment)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from paceline.clients.slurm import SlurmCommands
from paceline.launch.job import JOB_NAME
from paceline.launch.slurm.address import address_towards, interface_of
from paceline.spec.errors import ClusterError
from paceline.spec.job import JobSpec
from paceline.spec.names import (
    ENV_FAILURE_DOMAIN,
    ENV_RUN_TOKEN,
    HEALTH_DIRECTORY,
    HEALTH_SOCKET,
    SCRATCH_DIRECTORY,
)
from paceline.supervise.lending import LOG_NAME as LENT_LOG
from paceline.supervise.node import NodeSupervisor
from paceline.supervise.process import guarded

WORKERS_LOG = "workers.log"
ENV_FIRST_NODE = "PACELINE_SLURM_FIRST_NODE"

_ASK_SLURM_SECONDS = 5.0


def main() -> None:
    """Until the run is over, or this node's part in it."""
    directory = Path(sys.argv[1])
    node, number = os.environ["SLURMD_NODENAME"], os.environ["SLURM_JOB_ID"]
    job = JobSpec.model_validate_json((directory / JOB_NAME).read_text(encoding="utf-8"))
    host = address_towards(job.coordinator_host)
    os.environ.update({"OMP_NUM_THREADS": "1", **_interface(host), **_failure_domain(), **job.environment})
    # by the number of the job: what an earlier start of it staged here is used again
    local = _scratch() / f"paceline-{job.run}-{number}-{node}"
    local.mkdir(parents=True, exist_ok=True)
    for name in (WORKERS_LOG, LENT_LOG):
        if not (log := local / name).is_symlink():
            log.symlink_to(directory / "nodes" / node / name)
    sockets = _sockets(local, f"{job.run}-{number}")
    token = os.environ[ENV_RUN_TOKEN]

    async def supervise() -> None:
        supervisor = NodeSupervisor(directory / JOB_NAME, node, host, local, token, health=sockets / HEALTH_SOCKET)
        guarded(_requeue_if_orphaned(supervisor, SlurmCommands(), int(number)))
        await supervisor.run()
        if sockets != local:
            shutil.rmtree(sockets, ignore_errors=True)
        os._exit(0)  # at once: a transfer that hangs on a thread must not keep the process

    asyncio.run(supervise())


async def _requeue_if_orphaned(supervisor: NodeSupervisor, slurm: SlurmCommands, number: int) -> None:
    """--no-kill keeps the job also when its first node is lost, and the coordinator with it: nobody would go on. Once
    Slurm has taken that node from the job, the first of those that are left has the job requeued."""
    first = os.environ[ENV_FIRST_NODE]
    while True:
        await asyncio.sleep(_ASK_SLURM_SECONDS)
        if supervisor.lease.left > 0:
            continue
        with contextlib.suppress(ClusterError):  # slurmctld is away, or somebody was quicker
            job = await asyncio.to_thread(slurm.job, number)
            left = await asyncio.to_thread(slurm.host_names, job.hosts)
            if first not in left and left[0] == supervisor.node:
                await asyncio.to_thread(slurm.requeue, number)


def _scratch() -> Path:
    """The node's own disk: datasets are staged there."""
    scratch = Path(SCRATCH_DIRECTORY)
    return scratch if os.access(scratch, os.W_OK) else Path(tempfile.gettempdir())


def _sockets(local: Path, name: str) -> Path:
    """Where the node's agent will find us, if the node has one."""
    known = Path(HEALTH_DIRECTORY)
    if not os.access(known, os.W_OK):
        return local
    sockets = known / name
    sockets.mkdir(exist_ok=True)
    return sockets


def _interface(host: str) -> dict[str, str]:
    """For gloo, which would else trust what the host name resolves to. NCCL chooses for itself."""
    name = interface_of(host)
    return {"GLOO_SOCKET_IFNAME": name} if name else {}


def _failure_domain() -> dict[str, str]:
    """The leaf switch or block that Slurm's topology has the node under: nodes below one are lost together."""
    address = os.environ.get("SLURM_TOPOLOGY_ADDR", "").split(".")
    return {ENV_FAILURE_DOMAIN: address[-2]} if len(address) > 1 and ENV_FAILURE_DOMAIN not in os.environ else {}


if __name__ == "__main__":
    main()
