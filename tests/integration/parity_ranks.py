"""The ranks of the parity table: four processes that go through all cells. Run by test_parity_table.py."""

from __future__ import annotations

import multiprocessing
import socket
import sys
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.models import config
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.registry import blueprint
from paceline.plan.layout import derive
from paceline.recipe.schema import Batch, Compute, DataChoice, ModelChoice, Optimizer, Parallelism, Recipe, Schedule
from tests.integration.parity_cells import CELLS, CLIP, LENGTH, MICRO, PRESETS, SEQUENCES, SIZES, STEPS, Cell

WORLD = 4
RATE = 1e-2
VOCABULARY: int = SIZES["vocab_size"]
Block = tuple[torch.Tensor, tuple[int, ...], tuple[int, ...]]


@dataclass
class Pass:
    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


def recipe(family: str, cell: Cell) -> Recipe:
    return Recipe(
        name="parity",
        description="the same batch in every layout",
        model=ModelChoice.model_validate({"family": family, "preset": "tiny"}),
        data=DataChoice(sequence_length=LENGTH),
        batch=Batch(tokens=SEQUENCES * LENGTH, micro_sequences=MICRO),
        parallelism=Parallelism.model_validate(cell.parallelism),
        compute=Compute.model_validate(cell.compute),
        # the first moment is then the clipped gradient itself
        optimizer=Optimizer(learning_rate=RATE, betas=(0.0, 0.95), gradient_clip=CLIP),
        schedule=Schedule(steps=STEPS),
    )


def passes(step: int, data_rank: int, data_ranks: int, *, documents: bool) -> list[Pass]:
    """A data rank's part of a global batch that is the same in every layout."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    parts = tokens.chunk(data_ranks)[data_rank].split(MICRO)
    return [Pass(part[:, :-1], part[:, 1:], _documents(part[:, :-1]) if documents else None) for part in parts]


def _documents(inputs: torch.Tensor) -> torch.Tensor:
    """Some are longer than the sliding window, and some than a rank's piece of a sequence."""
    return (inputs < VOCABULARY // 12).cumsum(dim=1)


def plain(family: str, *, documents: bool) -> dict[str, Any]:
    """What plain PyTorch makes of it in one process."""
    chosen = recipe(family, CELLS[0])
    built = blueprint(chosen.model, VOCABULARY)
    model = built.build(PlainLayers(loss_tokens=chosen.batch.tokens))
    logical: dict[str, torch.nn.Parameter] = dict(model.named_parameters())
    slices = {}
    for name, parameter in logical.items():
        if built.sharding.expert_tensor(name, 0) is None:
            slices[name] = (parameter, None)
        else:
            for expert in range(parameter.shape[0]):
                slices[built.sharding.expert_tensor(name, expert)] = (parameter, expert)
    for name, (parameter, expert) in slices.items():
        local = parameter.data if expert is None else parameter.data[expert]
        initialise(name, local, first_row=0, seed=chosen.seed, std=built.initializer_range)
    settings = chosen.optimizer
    groups = [
        {"params": [p for p in logical.values() if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in logical.values() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=RATE, betas=settings.betas, eps=settings.epsilon)
    seen: dict[str, Any] = {"loss": [], "norm": []}
    for step in range(STEPS):
        total = 0.0
        for one in passes(step, 0, 1, documents=documents):
            logits = model(one.inputs, one.documents)
            loss = F.cross_entropy(logits.flatten(0, 1), one.targets.flatten(), reduction="sum")
            (loss / chosen.batch.tokens).backward()
            total += loss.item() / chosen.batch.tokens
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        if step == 0:
            gradients = {name: p.grad if e is None else p.grad[e] for name, (p, e) in slices.items()}
            seen["gradients"] = {name: g.clone() for name, g in gradients.items()}
        adamw.step()
        adamw.zero_grad()
        seen["loss"].append(total)
        seen["norm"].append(norm.item())
    return seen


def trained(family: str, cell: Cell, context: RankContext) -> dict[str, Any]:
    chosen = recipe(family, cell)
    layout = derive(chosen, context.world_size)
    engine = TorchEngine()
    engine.setup(chosen, VOCABULARY, context)
    engine.build(initialise=True)
    seen: dict[str, Any] = {"loss": [], "norm": [], "gradients": {}}
    totals = np.array([layout.is_witness(context.rank)], dtype=np.int64)
    for step in range(STEPS):
        batch = passes(step, layout.data_rank(context.rank), layout.data_ranks, documents=cell.documents)
        if step == 0:
            seen["evaluated"] = float(sum(engine.eval_step(one).sum() for one in batch)) / chosen.batch.tokens
        out = engine.train_step(batch, learning_rate=RATE, totals=totals, before_update=lambda: None)
        assert out.totals.tolist() == [layout.data_ranks]
        seen["loss"].append(out.loss.result())
        seen["norm"].append(out.gradient_norm.result())
        if step == 0:
            for name, shard in engine.state().items():
                if name.startswith("optimizer.exp_avg."):
                    block: Block = (shard.tensor.clone(), shard.global_shape, shard.offset)
                    seen["gradients"][name.removeprefix("optimizer.exp_avg.")] = block
    engine.teardown()
    return seen


def rank_process(rank: int, listeners: list[socket.socket], directory: str, only: str) -> None:
    torch.set_num_threads(1)
    seen: dict[Any, Any] = {}
    number = 0
    for cell in CELLS:
        for family in cell.families:
            listener, number = listeners[number], number + 1
            if rank >= cell.ranks or only not in f"{cell} {family}":
                continue
            port = listener.getsockname()[1]
            served = listener.detach() if rank == 0 else None
            meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
            context = RankContext(rank=rank, world_size=cell.ranks, generation=number, rendezvous=meeting)
            seen[str(cell), family] = trained(family, cell, context)
            if rank == 0:
                sys.stderr.write(f"{cell}, {family}\n")
    if rank == 0:
        for family, documents in {(family, cell.documents) for cell in CELLS for family in cell.families}:
            seen[family, documents] = plain(family, documents=documents)
    torch.save(seen, f"{directory}/{rank}.pt")


def main(directory: str, only: str = "") -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    config._presets = lambda package: {"tiny": PRESETS[package.rpartition(".")[2]]}
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for cell in CELLS for _ in cell.families]
    ranks = [fork.Process(target=rank_process, args=(r, listeners, directory, only), daemon=True) for r in range(WORLD)]
    for process in ranks:
        process.start()
    while alive := [process.sentinel for process in ranks if process.is_alive()]:
        wait(alive)
        if any(process.exitcode for process in ranks):
            sys.exit("a rank failed")  # the others, who wait for it, are ended with this process


if __name__ == "__main__":
    main(*sys.argv[1:])
