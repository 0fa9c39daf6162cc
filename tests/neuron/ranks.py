"""The ranks of the parity of engine nxd: two processes that go through all cells. Run by test_nxd_parity.py.

`neuronx_distributed` is the one on PYTHONPATH: the CPU surface beside this file, or a checkout of the genuine source.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

os.environ["NXD_CPU_MODE"] = "1"
if "PACELINE_NXD_SOURCE" in os.environ:
    from tests.neuron import stand_ins

    stand_ins.install()
    stand_ins.complete_cpu_mode()

import numpy as np
import torch
from torch import Tensor
from torch_xla.core import xla_model

from paceline.engines.base import IGNORED, Engine, RankContext, Rendezvous
from paceline.engines.nxd.engine import NxdEngine
from paceline.engines.torch.engine import TorchEngine
from paceline.models import config
from paceline.models.adapter import first_deviation, learns
from paceline.models.initialise import initialise
from paceline.plan import neuron
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from tests.neuron.cells import CELLS, LENGTH, MICRO, SEQUENCES, SIZES, STEPS, VOCABULARY, Cell

WORLD, RATE = 2, 1e-2
EPSILON = 1e-4  # a gradient that is only rounding does not become an update
STD: float = SIZES["initializer_range"]


@dataclass
class Pass:
    inputs: Tensor
    targets: Tensor
    documents: None = None


def recipe(cell: Cell, engine: str) -> Recipe:
    needs_base = cell.adapter is not None or cell.method == "dpo"
    compute = cell.compute if engine == "nxd" else {}
    return Recipe.model_validate(
        {
            "name": "parity",
            "description": "the same batch by two engines",
            "engine": engine,
            "method": cell.method,
            "preference": {"beta": 0.3},
            "adapter": cell.adapter,
            "model": {"family": cell.family, "preset": "tiny", "weights": "filled below" if needs_base else None},
            "data": {"sequence_length": LENGTH},
            "batch": {"tokens": SEQUENCES * LENGTH, "micro_sequences": MICRO},
            "parallelism": {"zero": 1, **cell.parallelism} if engine == "nxd" else {},
            "compute": compute,
            "sentinel": None,
            "optimizer": {"learning_rate": RATE, "gradient_clip": 0.5, "epsilon": EPSILON},
            "schedule": {"steps": STEPS},
        }
    )


def passes(step: int, method: str) -> list[Pass]:
    """A global batch; with answers that differ in length, so that ranks have different numbers of targets."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    targets = tokens[:, 1:].clone()
    for row in range(SEQUENCES if method != "pretrain" else 0):
        targets[row, : 2 + row] = IGNORED
        targets[row, LENGTH - 1 - row % 3 :] = IGNORED
    return [Pass(*parts) for parts in zip(tokens[:, :-1].split(MICRO), targets.split(MICRO), strict=True)]


def load(shards: Any) -> None:
    """Fill blocks of logical tensors with what an imported model would have, or a new adapter."""
    for name, shard in shards.items():
        value = torch.empty(shard.global_shape)
        std = first_deviation(name, shard.global_shape[-1], STD) if learns(name) else STD
        initialise(name, value, first_row=0, seed=7, std=std)
        region = tuple(slice(o, o + n) for o, n in zip(shard.offset, shard.tensor.shape, strict=True))
        shard.tensor.copy_(value[region])


def trained(engine: Engine, chosen: Recipe, context: RankContext) -> dict[str, Any]:
    layout = derive(chosen, context.world_size)
    engine.setup(chosen, VOCABULARY, context)
    engine.build(initialise=True)
    if chosen.model.weights is not None:
        with engine.frozen() as frozen:
            load(frozen)
        load({name: shard for name, shard in engine.state().items() if not name.startswith("optimizer.")})
    seen: dict[str, Any] = {"loss": [], "norm": [], "margin": [], "held_out": None}
    if chosen.parallelism.pp == 1 and chosen.method == "pretrain":
        own = passes(99, "pretrain")[layout.data_rank(context.rank)]
        seen["held_out"] = engine.eval_step(own).tolist()
    for step in range(STEPS):
        batch = passes(step, chosen.method)
        share = len(batch) // layout.data_ranks
        own_passes = batch[layout.data_rank(context.rank) * share :][:share]
        totals = np.array([layout.is_witness(context.rank), 2**62], dtype=np.int64)
        out = engine.train_step(own_passes, learning_rate=RATE, totals=totals, before_update=lambda: None)
        assert out.totals.tolist() == [layout.data_ranks, context.world_size * 2**62 - (context.world_size > 1) * 2**64]
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
        seen["margin"] += [out.metrics["reward_margin"].result()] if out.metrics else []
    engine.sync()
    blocks = {name: (s.tensor.clone(), s.global_shape, s.offset) for name, s in engine.state().items()}
    engine.teardown()
    return seen | {"state": blocks}


def rank_process(rank: int, cells: list[Cell], listeners: list[socket.socket], directory: str) -> None:
    torch.set_num_threads(1)
    seen: dict[Any, Any] = {}
    for number, (cell, listener) in enumerate(zip(cells, listeners, strict=True)):
        config._presets = lambda package, cell=cell: {"tiny": SIZES | cell.sizes}
        port = listener.getsockname()[1]
        served = listener.detach() if rank == 0 else None
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
        context = RankContext(rank=rank, world_size=WORLD, generation=number, rendezvous=meeting)
        seen[str(cell)] = trained(NxdEngine(), recipe(cell, "nxd"), context)
        xla_model.forget_groups()
        if rank == 0:
            with socket.create_server(("127.0.0.1", 0)) as alone:
                port, served = alone.getsockname()[1], alone.detach()
            meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
            context = RankContext(rank=0, world_size=1, generation=number, rendezvous=meeting)
            seen[str(cell), "torch"] = trained(TorchEngine(), recipe(cell, "torch"), context)
            sys.stderr.write(f"{cell}\n")
    torch.save(seen, f"{directory}/{rank}.pt")


def main(directory: str, only: str = "") -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    neuron.FLASH_TILE = LENGTH  # the kernel's tile would make this no test of seconds
    neuron.tp_degrees = lambda recipe: (1, 2)
    genuine = "PACELINE_NXD_SOURCE" in os.environ
    cells = [cell for cell in CELLS if only in str(cell) and (cell.genuine or not genuine)]
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in cells]
    ranks = [fork.Process(target=rank_process, args=(r, cells, listeners, directory)) for r in range(WORLD)]
    for process in ranks:
        process.start()
    for listener in listeners:
        listener.close()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        sys.exit(f"ranks exited with {[process.exitcode for process in ranks]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
