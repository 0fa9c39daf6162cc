"""The reference of the parity certificate: a few lines of PyTorch in one process, and where all begin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.checkpoint.shard_file import Shard, parse, plan
from paceline.checkpoint.snapshot import tensor_at
from paceline.engines.base import IGNORED
from paceline.models.adapter import adapter_tensors, first_deviation, learns
from paceline.models.families import FAMILIES
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.registry import blueprint
from paceline.train.schedule import learning_rate
from tests.integration.certificate_cells import STANDARD_DEVIATION, STEPS, VOCABULARY, Cell, Pass


def canonical(cell: Cell) -> bytearray:
    """The canonical checkpoint that every engine begins with: whole tensors by their names, in one shard file."""
    chosen = cell.recipe("torch")
    model = FAMILIES[cell.family].preset("tiny", vocabulary=VOCABULARY)
    shapes = model.tensors() | ({} if chosen.adapter is None else adapter_tensors(model, chosen.adapter))
    layout = plan(
        Shard(name=name, dtype="F32", shape=shape, global_shape=shape, offset=(0,) * len(shape))
        for name, shape in shapes.items()
    )
    content = bytearray(layout.header).ljust(layout.total_bytes, b"\0")
    for shard, start in layout.shards:
        deviation = first_deviation(shard.name, shard.shape[-1], STANDARD_DEVIATION)
        initialise(shard.name, tensor_at(content, shard, start), first_row=0, seed=7, std=deviation)
    return content


def plain(cell: Cell) -> dict[str, list[float]]:
    """Losses and gradient norms of all steps. An adapter is a matrix that is added to a weight."""
    chosen, content = cell.recipe("torch"), canonical(cell)
    values = {shard.name: tensor_at(content, shard, start).clone() for shard, start in parse(content, "it").shards}
    base = {name: value for name, value in values.items() if not learns(name)}
    learned = values if chosen.adapter is None else {name: v for name, v in values.items() if learns(name)}
    learned = {name: value.clone().requires_grad_() for name, value in learned.items()}
    model = blueprint(chosen.model, VOCABULARY).build(PlainLayers())

    def current() -> dict[str, Tensor]:
        if chosen.adapter is None:
            return learned
        merged, scale = dict(base), chosen.adapter.alpha / chosen.adapter.rank
        for name in learned:
            if ".lora_A." in name:
                down, up = learned[name], learned[name.replace("lora_A", "lora_B")]
                weight = name.replace(".lora_A", "")
                merged[weight] = base[weight] + scale * up @ down
        return merged

    def nats(parameters: dict[str, Tensor], one: Pass) -> Tensor:
        logits = torch.func.functional_call(model, parameters, (one.inputs, None))
        losses = F.cross_entropy(logits.transpose(1, 2), one.targets, reduction="none", ignore_index=IGNORED)
        return losses.sum(dim=1)

    def loss_of(batch: list[Pass]) -> Tensor:
        if chosen.method == "dpo":
            with torch.no_grad():
                before = torch.cat([nats(base, one) for one in batch])
            reward = chosen.preference.beta * (before - torch.cat([nats(learned, one) for one in batch]))
            return -F.logsigmoid(reward[0::2] - reward[1::2]).mean()
        count = sum(int((one.targets != IGNORED).sum()) for one in batch)
        return torch.cat([nats(current(), one) for one in batch]).sum() / count

    settings = chosen.optimizer
    groups = [
        {"params": [p for p in learned.values() if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learned.values() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, betas=settings.betas, eps=settings.epsilon)
    seen: dict[str, list[float]] = {"loss": [], "norm": []}
    for step in range(STEPS):
        for group in adamw.param_groups:
            group["lr"] = learning_rate(chosen.schedule, settings.learning_rate, step)
        adamw.zero_grad()
        loss = loss_of(cell.passes(step))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learned.values(), settings.gradient_clip)
        adamw.step()
        seen["loss"].append(loss.item())
        seen["norm"].append(norm.item())
    return seen
