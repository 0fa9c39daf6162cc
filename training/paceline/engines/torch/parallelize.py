"""Build a model that is sharded from the start: meta device, FSDP2, then storage for the local shards only."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from paceline.engines.torch.state import logical, place
from paceline.models.blueprint import Blueprint
from paceline.models.initialise import initialise
from paceline.models.layers import LayerFactory


class ShardedModel(nn.Module, FSDPModule):
    """What `fully_shard` makes of a module, for type checkers; never instantiated."""


def build_sharded(blueprint: Blueprint, layers: LayerFactory, mesh: DeviceMesh, *, seed: int | None) -> ShardedModel:
    """The model of `blueprint` made of `layers`, sharded by rows over `mesh`; unset where `seed` is None.

    Gradients are summed over ranks, not averaged: the loss is divided by the tokens of the global batch.
    """
    with torch.device("meta"):
        model = blueprint.build(layers)
    for unit in blueprint.sharding.unit_modules(model):
        fully_shard(unit, mesh=mesh)
    sharded = cast(ShardedModel, fully_shard(model, mesh=mesh))
    for module in sharded.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled reduction
    sharded.to_empty(device=mesh.device_type)
    if seed is not None:
        for parameter_name, parameter in sharded.named_parameters():
            for name, shard in logical(parameter_name, place(parameter), blueprint.sharding):
                first_row = shard.offset[0]
                initialise(name, shard.tensor, first_row=first_row, seed=seed, std=blueprint.initializer_range)
    return sharded
