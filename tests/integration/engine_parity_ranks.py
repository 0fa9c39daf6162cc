"""The ranks of the parity test: each trains, then writes what it saw. Run by test_engine_parity.py."""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.recipe.schema import Batch, DataChoice, ModelChoice, Optimizer, Recipe, Schedule

STEPS = 4
SEQUENCES, LENGTH, MICRO = 8, 16, 2


@dataclass
class Pass:
    inputs: torch.Tensor
    targets: torch.Tensor


def recipe(family: str = "llama") -> Recipe:
    return Recipe(
        name="parity",
        description="four passes on one rank, two on each of two",
        model=ModelChoice(family=family, preset="debug"),
        data=DataChoice(sequence_length=LENGTH),
        batch=Batch(tokens=SEQUENCES * LENGTH, micro_sequences=MICRO),
        optimizer=Optimizer(learning_rate=1e-3, gradient_clip=0.5),
        schedule=Schedule(steps=STEPS),
    )


def passes(step: int, vocabulary: int, context: RankContext) -> list[Pass]:
    """This rank's contiguous part of a global batch that is the same in every world."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, vocabulary, (SEQUENCES, LENGTH + 1), generator=generator)
    mine = tokens.chunk(context.world_size)[context.rank]
    return [Pass(part[:, :-1], part[:, 1:]) for part in mine.split(MICRO)]


def shards(engine: Engine) -> dict[str, tuple[torch.Tensor, tuple[int, ...], tuple[int, ...]]]:
    return {name: (s.tensor.clone(), s.global_shape, s.offset) for name, s in engine.state().items()}


def generation(context: RankContext, vocabulary: int, family: str = "llama") -> dict[str, Any]:
    engine = TorchEngine()
    engine.setup(recipe(family), vocabulary, context)
    engine.build(initialise=True)
    seen: dict[str, Any] = {"initial": shards(engine), "loss": [], "norm": [], "totals": [], "ready": [], "done": []}

    def before_update() -> None:
        if context.rank == 0:
            time.sleep(0.05)  # a fence that does not hold lets the other rank finish first
        seen["ready"].append(time.monotonic())

    totals = np.array([2**63 - 1, context.rank], dtype=np.int64)
    for step in range(STEPS):
        out = engine.train_step(
            passes(step, vocabulary, context), learning_rate=1e-3, totals=totals, before_update=before_update
        )
        seen["done"].append(time.monotonic())
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
        seen["totals"].append(out.totals.tolist())
    seen["final"] = shards(engine)
    engine.teardown()
    return seen


def rank_process(rank: int, world_size: int, meetings: dict[int, socket.socket], output: str, family: str) -> None:
    """One generation after the other in one process, each with a vocabulary and a place to meet of its own."""
    torch.set_num_threads(1)
    seen = {}
    for number, (vocabulary, listener) in enumerate(meetings.items()):
        port = listener.getsockname()[1]
        served = listener.detach() if rank == 0 else None
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
        context = RankContext(rank=rank, world_size=world_size, generation=number, rendezvous=meeting)
        seen[vocabulary] = generation(context, vocabulary, family)
    torch.save(seen, output)


def main(directory: str, worlds: dict[str, int], vocabularies: list[int], family: str = "llama") -> None:
    """Run every world in turn. Ranks are forked from this process, which has imported torch but not used it."""
    fork = multiprocessing.get_context("fork")
    for name, world_size in worlds.items():
        meetings = {vocabulary: socket.create_server(("127.0.0.1", 0)) for vocabulary in vocabularies}
        ranks = []
        for rank in range(world_size):
            output = f"{directory}/{name}-{rank}.pt"
            ranks.append(fork.Process(target=rank_process, args=(rank, world_size, meetings, output, family)))
        for process in ranks:
            process.start()
        for listener in meetings.values():
            listener.close()
        for process in ranks:
            process.join()
        if any(process.exitcode for process in ranks):
            sys.exit(f"{name}: ranks exited with {[process.exitcode for process in ranks]}")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
