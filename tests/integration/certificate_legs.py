"""The ranks of one leg of a run that changes its engine: two processes, as in the resume matrix.

python -m tests.integration.certificate_legs ENGINE START UNTIL DATA OUTPUT     (started by certificate.py)
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
from multiprocessing.connection import wait
from pathlib import Path

import torch

from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.registry import create
from tests.integration.certificate_cells import CHAIN, ENGINES, FAMILY, use_tiny_models
from tests.integration.resume_ranks import Leg, travel

WORLD = 2


def rank_process(rank: int, leg: Leg, start: int, listener: socket.socket, data: Path, output: Path) -> None:
    torch.set_num_threads(1)
    use_tiny_models()
    port = listener.getsockname()[1]
    served = listener.detach() if rank == 0 else None
    meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
    context = RankContext(rank=rank, world_size=WORLD, generation=start, rendezvous=meeting)
    travel(FAMILY, leg, start, context, data, output)


def main(engine: str, start: str, until: str, data: str, output: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    create(engine)
    parallelism = ENGINES[engine]["recipe"].get("parallelism", {})
    leg = Leg(until=int(until), ranks=WORLD, parallelism=parallelism, engine=engine, steps=CHAIN["steps"])
    fork = multiprocessing.get_context("fork")
    listener = socket.create_server(("127.0.0.1", 0))
    ranks = [
        fork.Process(target=rank_process, args=(r, leg, int(start), listener, Path(data), Path(output)), daemon=True)
        for r in range(WORLD)
    ]
    for process in ranks:
        process.start()
    while any(process.is_alive() for process in ranks):
        wait(process.sentinel for process in ranks if process.is_alive())
        if any(process.exitcode for process in ranks):
            sys.exit("a rank failed")  # the others, who wait for it, are ended with this process


if __name__ == "__main__":
    main(*sys.argv[1:])
