"""Build the model that DeepSpeed is given: on the meta device, then storage, of which stage 3 keeps a part at once."""

from __future__ import annotations

from typing import Any, cast

import deepspeed
import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.deepspeed.ulysses import UlyssesKernel
from paceline.engines.objectives.registry import objective
from paceline.engines.torch import activation_checkpointing
from paceline.engines.torch.mesh import Axis
from paceline.models import adapter, lora
from paceline.models.blueprint import Blueprint
from paceline.models.decoder import CausalLM
from paceline.models.layers import PlainLayers
from paceline.recipe.schema import Recipe


class SharedLayers(PlainLayers):
    """Plain layers of ranks that share sequences along `cp`, and whose gradients are averaged over the world instead of
    summed: every loss counts that much more."""

    def __init__(self, recipe: Recipe, cp: Axis) -> None:
        super().__init__(attention=recipe.compute.attention, loss_tokens=recipe.batch.tokens)
        if cp.size > 1:
            self.attention = UlyssesKernel(self.attention, cp, recipe.data.sequence_length)
        self._cp = cp

    def add_loss(self, output: Tensor, loss: Tensor) -> Tensor:
        return super().add_loss(output, loss * dist.get_world_size())

    def all_counts(self, counts: Tensor) -> Tensor:
        if self._cp.size == 1:
            return counts
        total = counts.clone()
        dist.all_reduce(total, group=self._cp.group)
        return total


def precision(recipe: Recipe) -> torch.dtype:
    """What the model multiplies in; what it learns is kept in float32 beside it."""
    return torch.bfloat16 if recipe.compute.precision == "bfloat16" else torch.float32


def build(blueprint: Blueprint, recipe: Recipe, config: dict[str, Any], device: torch.device, cp: Axis) -> CausalLM:
    """The model of `blueprint`, its parameters unset; partitioned over the ranks where stage 3 does that."""
    layers = SharedLayers(recipe, cp)
    with torch.device("meta"):
        model = cast(CausalLM, blueprint.build(layers))
        if objective(recipe).head == "score":
            model.end_with_score(layers)
        if recipe.adapter is not None:
            lora.attach(model, recipe.adapter, layers)
    if recipe.adapter is not None:
        lora.freeze(model, adapter.learns, precision(recipe))
    activation_checkpointing.apply(model, blueprint.sharding, recipe.compute)
    made: dict[nn.Parameter, nn.Parameter] = {}  # what is tied stays so
    for module in reversed(list(model.modules())):  # stage 3 partitions what is below at once
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter not in made:
                value = torch.zeros(parameter.shape, dtype=precision(recipe), device=device)
                made[parameter] = nn.Parameter(value, requires_grad=parameter.requires_grad)
            setattr(module, name, made[parameter])
        if recipe.parallelism.zero == 3:
            deepspeed.zero.Init(module=module, config_dict_or_path=config)
    return model


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What learns, in the two groups of AdamW: only matrices decay."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    dimensions = {parameter: len(getattr(parameter, "ds_shape", parameter.shape)) for parameter in learned}
    matrices = [parameter for parameter in learned if dimensions[parameter] > 1]
    vectors = [parameter for parameter in learned if dimensions[parameter] <= 1]
    both = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in both if group["params"]]
