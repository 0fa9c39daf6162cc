"""The systems that recover a job, each set up as its documentation says: how its processes are started.

All get the same job, and their events are read alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.common.jobs import RANKS
from benchmarks.common.peer_run import Command, PeerRun
from paceline.launch.job import JOB_NAME, free_port
from paceline.spec.job import JobSpec

MAX_RESTARTS = 3
_DEAD = b"failed (exitcode"  # torchelastic's first word about a dead worker
_MONITOR = "--monitor-interval=0.05"  # the default of 0.1 and more would be seen in the figures


def torchrun_dcp(
    job: JobSpec, directory: Path, *, mode: str, every: int, max_restarts: int = MAX_RESTARTS, mended: bool = True
) -> PeerRun:
    """torchrun, and torch.distributed.checkpoint in `mode` every so many steps; not `mended`: as torch ships it."""
    arguments = (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"),
        *(f"--nproc-per-node={RANKS}", f"--max-restarts={max_restarts}", _MONITOR),
        *("-m", "benchmarks.peers.torchrun_dcp", str(directory / JOB_NAME), str(directory), mode, str(every)),
        *([] if mended else ["--stock"]),
    )
    return PeerRun(job, directory, [Command(arguments=arguments)], tells=_DEAD)


def ft_launcher(job: JobSpec, directory: Path, python: Path, *, every: int) -> PeerRun:
    """nvidia-resiliency-ext's launcher, with torch.distributed.checkpoint."""
    arguments = (
        *(str(python), "-m", "nvidia_resiliency_ext.fault_tolerance.launcher"),
        *("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--local-addr=127.0.0.1"),
        *(f"--nproc-per-node={RANKS}", f"--max-restarts={MAX_RESTARTS}", _MONITOR),
        "--ft-enable-nic-monitor=false",  # there is no InfiniBand here
        *("-m", "benchmarks.peers.ft_launcher_dcp", str(directory / JOB_NAME), str(directory), "thread", str(every)),
    )
    return PeerRun(job, directory, [Command(arguments=arguments)], tells=_DEAD)


def in_process(job: JobSpec, directory: Path, python: Path, *, every: int) -> PeerRun:
    """nvidia-resiliency-ext's restart inside of the processes, one of them in reserve."""
    module = "benchmarks.peers.inprocess_dcp"
    arguments = (str(python), "-m", module, str(directory / JOB_NAME), str(directory), "thread", str(every))
    world = {"WORLD_SIZE": str(RANKS + 1), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        Command(arguments=arguments, environment={**world, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(RANKS + 1)
    ]
    return PeerRun(job, directory, ranks, tells=None)


def torchft(job: JobSpec, directory: Path, python: Path) -> PeerRun:
    """torchft's lighthouse, and a replica group per rank, each under a torchrun of its own."""
    port = free_port()
    options = ("--min_replicas", "1", "--quorum_tick_ms", "100", "--join_timeout_ms", "10000")
    lighthouse = Command(
        arguments=(str(python.with_name("torchft_lighthouse")), "--bind", f"127.0.0.1:{port}", *options)
    )
    arguments = (
        *(str(python), "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"),
        *("--nproc-per-node=1", f"--max-restarts={MAX_RESTARTS}", _MONITOR),
        *("-m", "benchmarks.peers.torchft_replica", str(directory / JOB_NAME), str(directory)),
    )
    shared = {"TORCHFT_LIGHTHOUSE": f"http://127.0.0.1:{port}", "NUM_REPLICA_GROUPS": str(RANKS)}
    groups = [
        Command(arguments=arguments, environment={**shared, "REPLICA_GROUP_ID": str(group)}) for group in range(RANKS)
    ]
    return PeerRun(job, directory, [lighthouse, *groups], tells=_DEAD)
