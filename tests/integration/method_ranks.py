"""The ranks of the parity of methods: two processes that go through all cells. Run by test_method_parity.py."""

from __future__ import annotations

import multiprocessing
import socket
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.engines.base import IGNORED, RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.models import config
from paceline.models.adapter import first_deviation, learns
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.nf4 import dequantise, quantise
from paceline.models.registry import blueprint
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from tests.integration.method_cells import CELLS, LENGTH, MICRO, SEQUENCES, SIZES, STEPS, VOCABULARY, Cell

WORLD, RATE, BETA, SMOOTHING = 2, 1e-2, 0.3, 0.1
QUANTISED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
STD: float = SIZES["initializer_range"]


@dataclass
class Pass:
    inputs: Tensor
    targets: Tensor
    documents: Tensor


def recipe(cell: Cell) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "parity",
            "description": "the same batch on one rank and on two",
            "method": cell.method,
            "preference": {"beta": BETA, "label_smoothing": SMOOTHING},
            "adapter": cell.adapter,
            "model": {"family": "llama", "preset": "tiny", "weights": "filled below"},
            "data": {"sequence_length": LENGTH},
            "batch": {"tokens": SEQUENCES * LENGTH, "micro_sequences": MICRO},
            "parallelism": cell.parallelism,
            # the first moment is then the clipped gradient itself
            "optimizer": {"learning_rate": RATE, "betas": (0.0, 0.95), "gradient_clip": 1000.0, "weight_decay": 0.0},
            "schedule": {"steps": STEPS},
        }
    )


def passes(step: int) -> list[Pass]:
    """A global batch whose answers differ in length, so that ranks have different numbers of targets."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    targets = tokens[:, 1:].clone()
    for row in range(SEQUENCES):
        targets[row, : 2 + row] = IGNORED
        targets[row, LENGTH - 1 - row % 3 :] = IGNORED
    documents = (torch.arange(LENGTH) > LENGTH // 2).long().expand(SEQUENCES, LENGTH)
    cut = (tokens[:, :-1].split(MICRO), targets.split(MICRO), documents.split(MICRO))
    return [Pass(*parts) for parts in zip(*cut, strict=True)]


def first_value(name: str, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Of any parameter, the base's as an imported model would have them."""
    value = torch.empty(shape)
    new = learns(name)
    std = first_deviation(name, shape[-1], STD) if new else STD
    initialise(name, value, first_row=0, seed=0 if new else 7, std=std)
    return value


def plain(cell: Cell) -> dict[str, Any]:
    """What a few lines of PyTorch make of it in one process: with adapters as matrices that are added to weights."""
    model = blueprint(recipe(cell).model, VOCABULARY).build(PlainLayers())
    if cell.method == "reward":
        del model.lm_head
        model.lm_head = nn.Linear(SIZES["hidden_size"], 1, bias=False)
    names = {name: "score.weight" if name == "lm_head.weight" and cell.method == "reward" else name
             for name, _ in model.named_parameters()}  # fmt: skip
    base = {name: first_value(names[name], p.shape) for name, p in model.named_parameters()}
    learned: dict[str, Tensor] = {}
    if cell.adapter is None:
        learned = {name: value.clone().requires_grad_() for name, value in base.items()}
    else:
        targets = recipe(cell).adapter.targets
        for name, value in base.items():
            module, leaf = name.removesuffix(".weight"), name.split(".")[-2]
            if cell.adapter.get("quantize") and leaf in QUANTISED:
                base[name] = dequantise(*quantise(value), value.shape[1], torch.float32)
            if leaf in targets:
                for factor, shape in (("lora_A", (4, value.shape[1])), ("lora_B", (value.shape[0], 4))):
                    tensor = f"{module}.{factor}.weight"
                    learned[tensor] = first_value(tensor, shape).requires_grad_()
            if names[name] == "score.weight":
                learned[name] = value.clone().requires_grad_()

    def current() -> dict[str, Tensor]:
        if cell.adapter is None:
            return learned
        merged = dict(base)
        for name in base:
            module = name.removesuffix(".weight")
            if f"{module}.lora_A.weight" in learned:
                merged[name] = (
                    base[name] + 2.0 * learned[f"{module}.lora_B.weight"] @ learned[f"{module}.lora_A.weight"]
                )
            elif name in learned:
                merged[name] = learned[name]
        return merged

    def answer_nats(parameters: dict[str, Tensor], one: Pass) -> Tensor:
        logits = torch.func.functional_call(model, parameters, (one.inputs, None))
        nats = F.cross_entropy(logits.transpose(1, 2), one.targets, reduction="none", ignore_index=IGNORED)
        return nats.sum(dim=1)

    seen: dict[str, Any] = {"loss": [], "margin": []}
    adamw = torch.optim.AdamW(learned.values(), lr=RATE, betas=(0.0, 0.95), eps=1e-8, weight_decay=0.0)
    for step in range(STEPS):
        batch = passes(step)
        loss, margins = torch.zeros(()), []
        for one in batch:
            if cell.method == "sft":
                count = sum(int((p.targets != IGNORED).sum()) for p in batch)
                loss = loss + answer_nats(current(), one).sum() / count
                continue
            if cell.method == "dpo":
                rewards = BETA * (answer_nats(base, one) - answer_nats(current(), one))
            else:
                scores = torch.func.functional_call(model, current(), (one.inputs, None)).squeeze(-1)
                last = [int(torch.nonzero(row != IGNORED)[-1]) + 1 for row in one.targets]
                rewards = torch.stack([score[place] for score, place in zip(scores, last, strict=True)])
            margin = rewards[0::2] - rewards[1::2]
            smoothing = SMOOTHING if cell.method == "dpo" else 0.0
            pair_losses = -(1 - smoothing) * F.logsigmoid(margin) - smoothing * F.logsigmoid(-margin)
            loss = loss + pair_losses.sum() / (SEQUENCES // 2)
            margins += margin.tolist()
        adamw.zero_grad()
        loss.backward()
        if step == 0:
            seen["gradients"] = {names.get(name, name): tensor.grad.clone() for name, tensor in learned.items()}
        adamw.step()
        seen["loss"].append(loss.item())
        seen["margin"].append(sum(margins) / len(margins) if margins else None)
    return seen


def trained(cell: Cell, context: RankContext) -> dict[str, Any]:
    chosen = recipe(cell)
    layout = derive(chosen, context.world_size)
    engine = TorchEngine()
    engine.setup(chosen, VOCABULARY, context)
    engine.build(initialise=True)

    def load(shards: Any) -> None:
        for name, shard in shards.items():
            value = first_value(name, shard.global_shape)
            region = tuple(slice(o, o + n) for o, n in zip(shard.offset, shard.tensor.shape, strict=True))
            shard.tensor.copy_(value[region])

    with engine.frozen() as frozen:
        load(frozen)
    state = engine.state()
    load({name: shard for name, shard in state.items() if not name.startswith("optimizer.") and not learns(name)})
    seen: dict[str, Any] = {"loss": [], "margin": [], "gradients": {}, "names": list(state)}
    for step in range(STEPS):
        batch = passes(step)
        share = len(batch) // layout.data_ranks
        own = batch[layout.data_rank(context.rank) * share :][:share]
        for one in own:
            one.documents = None
        totals = np.zeros(1, dtype=np.int64)
        out = engine.train_step(own, learning_rate=RATE, totals=totals, before_update=lambda: None)
        seen["loss"].append(out.loss.result())
        seen["margin"].append(out.metrics["reward_margin"].result() if out.metrics else None)
        if step == 0:
            for name, shard in engine.state().items():
                if name.startswith("optimizer.exp_avg."):
                    block = (shard.tensor.clone(), shard.global_shape, shard.offset)
                    seen["gradients"][name.removeprefix("optimizer.exp_avg.")] = block
    engine.teardown()
    return seen


def rank_process(rank: int, world: int, listeners: list[socket.socket], directory: str) -> None:
    torch.set_num_threads(1)
    seen: dict[Any, Any] = {}
    for number, (cell, listener) in enumerate(zip(CELLS, listeners, strict=True)):
        port = listener.getsockname()[1]
        served = listener.detach() if rank == 0 else None
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
        seen[str(cell)] = trained(cell, RankContext(rank=rank, world_size=world, generation=number, rendezvous=meeting))
        if rank == 0:
            seen[str(cell), "plain"] = plain(cell)
            sys.stderr.write(f"{cell}\n")
    torch.save(seen, f"{directory}/{rank}.pt")


def main(directory: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    config._presets = lambda package: {"tiny": SIZES}
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in CELLS]
    ranks = [fork.Process(target=rank_process, args=(rank, WORLD, listeners, directory)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    for listener in listeners:
        listener.close()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        sys.exit(f"ranks exited with {[process.exitcode for process in ranks]}")


if __name__ == "__main__":
    main(sys.argv[1])
