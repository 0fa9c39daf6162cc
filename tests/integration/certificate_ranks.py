"""The ranks of one engine of the parity certificate: two processes that go through all cells.

python -m tests.integration.certificate_ranks ENGINE OUTPUT      (started by certificate.py, with its library)
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
from collections.abc import Mapping
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import torch

from paceline.checkpoint.restore import fill
from paceline.engines.base import Engine, LogicalShard, RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.train.schedule import learning_rate
from tests.integration.certificate_cells import CELLS, ENGINES, STEPS, VOCABULARY, Cell, use_tiny_models
from tests.integration.certificate_plain import canonical, plain

WORLD = 2
REFERENCE = "plain"


def trained(engine: Engine, cell: Cell, context: RankContext) -> dict[str, list[float]]:
    """Losses and gradient norms of all steps, from the canonical checkpoint on."""
    chosen, content = cell.recipe(engine.name), memoryview(canonical(cell))
    layout = engine.plan(chosen, context.world_size)
    engine.setup(chosen, VOCABULARY, context)
    engine.build(initialise=False)

    def load(shards: Mapping[str, LogicalShard]) -> None:
        fill(shards, [("the canonical checkpoint", content)])

    with engine.frozen() as frozen:
        load(frozen)
    load({name: shard for name, shard in engine.state().items() if not name.startswith("optimizer.")})
    seen: dict[str, list[float]] = {"loss": [], "norm": []}
    for step in range(STEPS):
        batch = cell.passes(step)
        share = len(batch) // layout.data_ranks
        out = engine.train_step(
            batch[layout.data_rank(context.rank) * share :][:share],
            learning_rate=learning_rate(chosen.schedule, chosen.optimizer.learning_rate, step),
            totals=np.array([layout.is_witness(context.rank)], dtype=np.int64),
            before_update=lambda: None,
        )
        assert out.totals.tolist() == [layout.data_ranks]
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
    engine.teardown()
    return seen


def rank_process(name: str, rank: int, listeners: list[socket.socket], output: str) -> None:
    torch.set_num_threads(1)
    use_tiny_models()
    seen: dict[str, dict[str, list[float]]] = {}
    for number, (cell, listener) in enumerate(zip(CELLS, listeners, strict=True)):
        if name == REFERENCE:
            seen[str(cell)] = plain(cell)
        else:
            port = listener.getsockname()[1]
            served = listener.detach() if rank == 0 else None
            meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
            context = RankContext(rank=rank, world_size=WORLD, generation=number, rendezvous=meeting)
            seen[str(cell)] = trained(create(name), cell, context)
            if name == "nxd":  # the surface of torch-xla remembers the groups of a world that is gone
                import_module("torch_xla.core.xla_model").forget_groups()
        sys.stderr.write(f"{name}, rank {rank}: {cell}\n")
    Path(f"{output}/{name}-{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def main(name: str, output: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    if name in ENGINES:
        create(name)  # what is imported here is not imported in every rank
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in CELLS]
    ranks = [
        fork.Process(target=rank_process, args=(name, rank, listeners, output), daemon=True)
        for rank in range(WORLD if name in ENGINES else 1)
    ]
    for process in ranks:
        process.start()
    while any(process.is_alive() for process in ranks):
        wait(process.sentinel for process in ranks if process.is_alive())
        if any(process.exitcode for process in ranks):
            sys.exit("a rank failed")  # the others, who wait for it, are ended with this process


if __name__ == "__main__":
    main(*sys.argv[1:])
