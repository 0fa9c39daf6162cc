"""The peer: ft_launcher of nvidia-resiliency-ext restarts its workers, which resume from torch.distributed.checkpoint.

    ft_launcher ... -m benchmarks.peers.ft_launcher_dcp JOB_FILE DIRECTORY MODE EVERY

Every rank has a monitor and sends it a heartbeat after each step, as the launcher's guide says. Rank 0 opens the store
of each attempt itself: the launcher keeps its own from the workers.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.peers.dcp_rank import DcpRank
from paceline.engines.base import Rendezvous
from paceline.supervise.process import die_with_parent


def main(job_file: str, directory: str, mode: str, every: str) -> None:
    die_with_parent(os.getppid())
    number, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    rank = DcpRank(job_file, directory, mode, every)
    rank.announce(number)
    fault_tolerance: Any = import_module("nvidia_resiliency_ext.fault_tolerance")
    client = fault_tolerance.RankMonitorClient()
    client.init_workload_monitoring()
    rank.train(
        Rendezvous(host=os.environ["MASTER_ADDR"], port=int(os.environ["MASTER_PORT"])),
        rank=number,
        world_size=world_size,
        generation=int(os.environ["TORCHELASTIC_RESTART_COUNT"]),
        alive=client.send_heartbeat,
    )
    client.shutdown_workload_monitoring()


if __name__ == "__main__":
    main(*sys.argv[1:])
