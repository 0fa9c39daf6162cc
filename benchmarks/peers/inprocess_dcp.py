"""The peer: nvidia-resiliency-ext restarts the training function inside of the processes that are left, with a rank in
reserve in place of the dead one; the state comes from torch.distributed.checkpoint.

    RANK=... WORLD_SIZE=3 MASTER_ADDR=... MASTER_PORT=... python -m benchmarks.peers.inprocess_dcp \
        JOB_FILE DIRECTORY MODE EVERY

Its intervals are 0.2 s instead of a second, which makes it faster here.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from importlib import import_module
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from benchmarks.peers.dcp_rank import DcpRank, meet
from paceline.supervise.process import die_with_parent

_INTERVAL = timedelta(seconds=0.2)


def main(job_file: str, directory: str, mode: str, every: str) -> None:
    die_with_parent(os.getppid())
    inprocess: Any = import_module("nvidia_resiliency_ext.inprocess")
    assignment = inprocess.rank_assignment
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    active = int(os.environ["WORLD_SIZE"]) - 1  # the last one waits
    rank = DcpRank(job_file, directory, mode, every)

    def train(wrapper: Any = None) -> None:
        state = wrapper.state
        rank.announce(state.active_rank)
        store = TCPStore(host, port, is_master=False)
        rank.train(
            meet(store, state.active_rank, wrapper.iteration),
            rank=state.active_rank,
            world_size=state.active_world_size,
            generation=wrapper.iteration,
            alive=wrapper.ping,
        )

    train.__annotations__["wrapper"] = inprocess.CallWrapper  # it goes to the parameter of this type
    inprocess.Wrapper(
        store_kwargs={"host_name": host, "port": port},
        rank_assignment=inprocess.Compose(assignment.MaxActiveWorldSize(active), assignment.ShiftRanks()),
        monitor_thread_interval=_INTERVAL,
        monitor_process_interval=_INTERVAL,
        progress_watchdog_interval=_INTERVAL,
        last_call_wait=_INTERVAL,
    )(train)()


if __name__ == "__main__":
    main(*sys.argv[1:])
