"""One rank of the parity test: trains, then writes what it saw. Run by test_engine_parity.py."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.recipe.schema import Batch, DataChoice, ModelChoice, Optimizer, Recipe, Schedule

STEPS = 4
SEQUENCES, LENGTH, MICRO = 8, 16, 2


@dataclass
class Pass:
    inputs: torch.Tensor
    targets: torch.Tensor


def recipe() -> Recipe:
    return Recipe(
        name="parity",
        description="four passes on one rank, two on each of two",
        model=ModelChoice(preset="debug"),
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


def generation(context: RankContext, vocabulary: int) -> dict[str, Any]:
    engine = create("torch")
    engine.setup(recipe(), vocabulary, context)
    engine.build(initialise=True)
    seen: dict[str, Any] = {"initial": shards(engine), "loss": [], "norm": [], "totals": []}
    totals = np.array([2**63 - 1, context.rank], dtype=np.int64)
    for step in range(STEPS):
        out = engine.train_step(
            passes(step, vocabulary, context), learning_rate=1e-3, totals=totals, before_update=lambda: None
        )
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
        seen["totals"].append(out.totals.tolist())
    seen["final"] = shards(engine)
    engine.teardown()
    return seen


def main() -> None:
    order = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    results = {}
    for number, meeting in enumerate(order["meetings"]):
        context = RankContext(
            rank=order["rank"],
            world_size=order["world_size"],
            generation=number,
            rendezvous=Rendezvous(host="127.0.0.1", port=meeting["port"], listen_fd=meeting["listen_fd"]),
        )
        results[meeting["vocabulary"]] = generation(context, meeting["vocabulary"])
    torch.save(results, order["output"])


if __name__ == "__main__":
    main()
