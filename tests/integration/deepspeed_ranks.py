"""The ranks of DeepSpeed's parity: two processes that go through all cells. Run by test_deepspeed_engine.py."""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paceline.checkpoint.restore import fill
from paceline.checkpoint.shard_file import plan
from paceline.checkpoint.snapshot import describe
from paceline.engines.base import IGNORED, Engine, LogicalShard, RankContext, Rendezvous, Watch
from paceline.engines.registry import create
from paceline.engines.watch import read
from paceline.models import config
from paceline.models.adapter import learns
from paceline.models.initialise import initialise
from paceline.recipe.schema import Recipe
from tests.integration.deepspeed_cells import CELLS, JOURNEY, LENGTH, MICRO, PRESETS, SEQUENCES, VOCABULARY, Cell

WORLD, RATE = 2, 1e-3


@dataclass
class Pass:
    inputs: Tensor
    targets: Tensor
    documents: Tensor


def recipe(cell: Cell) -> Recipe:
    weights = "filled below" if cell.adapter is not None or cell.method == "dpo" else None
    return Recipe.model_validate(
        {
            "name": "parity",
            "description": "the same batch for every engine",
            "engine": cell.engine,
            "method": cell.method,
            "adapter": cell.adapter,
            "model": {"family": cell.family, "preset": "tiny", "weights": weights},
            "data": {"sequence_length": LENGTH},
            "batch": {"tokens": SEQUENCES * LENGTH, "micro_sequences": MICRO},
            "parallelism": cell.parallelism,
            "compute": cell.compute,
            # without a large epsilon, gradients that are next to nothing would be steps of full length
            "optimizer": {"learning_rate": RATE, "gradient_clip": 0.5, "epsilon": 1e-4},
            "schedule": {"steps": cell.steps},
        }
    )


def passes(cell: Cell, step: int, part: int, parts: int) -> list[Pass]:
    """A data rank's part of a global batch whose answers differ in length."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    targets = tokens[:, 1:].clone()
    if cell.method != "pretrain":
        for row in range(SEQUENCES):
            targets[row, : 2 + row] = IGNORED
    documents = (torch.arange(LENGTH) > LENGTH // 2).long().expand(SEQUENCES, LENGTH)
    own = (whole.chunk(parts)[part].split(MICRO) for whole in (tokens[:, :-1], targets, documents))
    return [Pass(*cut) for cut in zip(*own, strict=True)]


def open_engine(cell: Cell, context: RankContext) -> Engine:
    engine = create(cell.engine)
    engine.setup(recipe(cell), VOCABULARY, context)
    engine.build(initialise=True)
    return engine


def imported(engine: Engine) -> None:
    """Fill what a model to start from would have."""

    with engine.frozen() as frozen:
        learned = {n: s for n, s in engine.state().items() if not n.startswith("optimizer.") and not learns(n)}
        for shards in (frozen, learned):
            fill(shards, [("model", body({name: first_value(name, s) for name, s in shards.items()}))])


def first_value(name: str, shard: LogicalShard) -> LogicalShard:
    shape = shard.global_shape
    value = torch.empty(shape)
    initialise(name, value, first_row=0, seed=7, std=0.2)
    return LogicalShard(tensor=value.to(shard.tensor.dtype), global_shape=shape, offset=(0,) * len(shape))


def body(state: Mapping[str, LogicalShard]) -> memoryview:
    """A shard file of `state`."""
    layout = plan(describe(name, shard) for name, shard in state.items())
    parts = [state[shard.name].tensor.detach().contiguous().view(-1).numpy().tobytes() for shard, _ in layout.shards]
    return memoryview(bytearray(layout.header + b"".join(parts)))


def train(engine: Engine, cell: Cell, context: RankContext, first: int) -> dict[str, Any]:
    layout = engine.plan(recipe(cell), context.world_size)
    part = layout.data_rank(context.rank)
    seen: dict[str, Any] = {"loss": [], "norm": [], "metrics": []}
    for step in range(first, first + cell.steps):
        out = engine.train_step(
            passes(cell, step, part, layout.data_ranks),
            learning_rate=RATE,
            totals=np.array([context.rank + 1], dtype=np.int64),
            before_update=lambda: None,
        )
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
        seen["metrics"].append({name: metric.result() for name, metric in out.metrics.items()})
        seen["totals"] = out.totals.tolist()
    if cell.method == "pretrain":
        seen["evaluated"] = sum(engine.eval_step(p).sum() for p in passes(cell, 0, part, layout.data_ranks))
    return seen


def testify(engine: Engine, cell: Cell, context: RankContext) -> list[list[Any]]:
    """What all ranks say of one step, each of which takes the passes of its neighbour again."""
    layout = engine.plan(recipe(cell), context.world_size)
    part = layout.data_rank(context.rank)
    other = passes(cell, 99, (part + 1) % layout.data_ranks, layout.data_ranks)
    engine.seal()
    out = engine.train_step(
        passes(cell, 99, part, layout.data_ranks),
        learning_rate=RATE,
        totals=np.zeros(1, dtype=np.int64),
        before_update=lambda: None,
        watch=Watch(recompute=(other,)),
    )
    assert out.testimonies is not None
    return [[said.altered, said.passes, said.partners[0]] for said in read(out.testimonies)]


def rank_process(rank: int, listeners: list[socket.socket], together: Barrier, output: str) -> None:
    torch.set_num_threads(1)
    seen: dict[str, Any] = {"journey": []}

    def context(number: int, cell: Cell) -> RankContext:
        port = listeners[number].getsockname()[1]
        served = listeners[number].detach() if rank == 0 else None
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
        return RankContext(rank=rank, world_size=cell.ranks, generation=number, rendezvous=meeting)

    for number, cell in enumerate(CELLS):
        if rank < cell.ranks:
            here = context(number, cell)
            engine = open_engine(cell, here)
            if recipe(cell).model.weights is not None:
                imported(engine)
            seen[str(cell)] = train(engine, cell, here, 0)
            if cell.engine == "deepspeed" and cell.method == "pretrain":
                seen[str(cell)]["testimonies"] = testify(engine, cell, here)
            engine.teardown()
        together.wait()
    first = 0
    for number, cell in enumerate(JOURNEY, start=len(CELLS)):
        if rank < cell.ranks:
            here = context(number, cell)
            engine = open_engine(cell, here)
            if first:
                files = sorted(Path(output).glob(f"leg-{number - 1}-*.bin"))
                fill(engine.state(), [(f.name, memoryview(bytearray(f.read_bytes()))) for f in files])
            seen["journey"] += train(engine, cell, here, first)["loss"]
            (Path(output) / f"leg-{number}-{rank}.bin").write_bytes(body(engine.state()))
            engine.teardown()
        first += cell.steps
        together.wait()
    (Path(output) / f"{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def main(output: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    config._presets = lambda package: {"tiny": PRESETS[package.rpartition(".")[2]]}
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in (*CELLS, *JOURNEY)]
    together = fork.Barrier(WORLD)
    ranks = [fork.Process(target=rank_process, args=(rank, listeners, together, output)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        sys.exit(f"ranks exited with {[process.exitcode for process in ranks]}")


if __name__ == "__main__":
    main(sys.argv[1])
