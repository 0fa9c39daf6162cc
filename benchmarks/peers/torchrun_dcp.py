"""The peer: torchrun restarts its workers, which resume from torch.distributed.checkpoint.

    torchrun ... -m benchmarks.peers.torchrun_dcp JOB_FILE DIRECTORY MODE EVERY [--stock]

Its ranks meet in a store of their own per attempt: the store of the agent outlives the attempts, without a prefix, and
in torch 2.13 a restarted gloo worker may find the addresses of the dead there. `--stock` first opens a group there
nevertheless.
"""

from __future__ import annotations

import os
import sys

import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from benchmarks.peers.dcp_rank import DcpRank, meet
from paceline.supervise.process import die_with_parent

RANK, WORLD_SIZE = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE"))
ATTEMPT = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def main(job_file: str, directory: str, mode: str, every: str, *options: str) -> None:
    die_with_parent(os.getppid())
    rank = DcpRank(job_file, directory, mode, every)
    rank.announce(RANK)
    if "--stock" in options:
        dist.init_process_group("gloo")
        dist.barrier()
        dist.destroy_process_group()
    agent = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    rank.train(meet(agent, RANK, ATTEMPT), rank=RANK, world_size=WORLD_SIZE, generation=ATTEMPT)


if __name__ == "__main__":  # a checkpointing process imports this file again
    main(*sys.argv[1:])
