"""Build this rank's part of a model: on the meta device, split along every axis of the mesh, then storage for it only.

The order matters: a stage first, then what its ranks share of every matrix, then what runs again backward or is
compiled, and around all of it the sharding over data ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from paceline.engines.torch import (
    activation_checkpointing,
    data_parallel,
    expert_parallel,
    pipeline_parallel,
    precision,
    tensor_parallel,
)
from paceline.engines.torch.layers import ParallelLayers
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.state import Holding, Holdings, logical, place, whole
from paceline.models.blueprint import Blueprint
from paceline.models.decoder import CausalLM
from paceline.models.initialise import initialise
from paceline.recipe.schema import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of the pipeline, or the whole model; `holdings` say what of which logical tensors is here."""

    index: int
    model: CausalLM
    holdings: Holdings

    def parameters(self) -> Iterator[tuple[Holding, nn.Parameter]]:
        """Every sharded parameter of this rank, with what it is of the whole."""
        for name, parameter in self.model.named_parameters():
            yield self.holdings[name], parameter


def build(blueprint: Blueprint, recipe: Recipe, mesh: Mesh, *, seed: int | None) -> list[Stage]:
    """This rank's stages of the model of `blueprint`, first to last; unset where `seed` is None."""
    indices = pipeline_parallel.stages_of(mesh, recipe.parallelism)
    stages = [_stage(blueprint, recipe, mesh, index) for index in indices]
    for stage in stages:
        stage.model.to_empty(device=mesh.data.device_type)
        if seed is not None:
            _fill(stage, blueprint, seed)
    return stages


def _stage(blueprint: Blueprint, recipe: Recipe, mesh: Mesh, index: int) -> Stage:
    plan, chosen = blueprint.sharding, recipe.parallelism
    layers = ParallelLayers(recipe, mesh)
    with torch.device("meta"):
        model = cast(CausalLM, blueprint.build(layers))
    holdings = whole(model, mesh)
    pipeline_parallel.apply(model, index, mesh, chosen, holdings)
    precision.apply(model, plan, recipe.compute)
    tensor_parallel.apply(model, plan, mesh, holdings, sequence_parallel=chosen.sequence_parallel)
    expert_parallel.apply(model, plan, mesh, holdings)
    activation_checkpointing.apply(model, plan, recipe.compute)
    if recipe.compute.compile:
        for unit in plan.unit_modules(model):
            unit.compile()
    data_parallel.apply(model, plan, mesh, holdings, precision.policy(recipe.compute))
    return Stage(index=index, model=model, holdings=holdings)


def _fill(stage: Stage, blueprint: Blueprint, seed: int) -> None:
    for holding, parameter in stage.parameters():
        for name, shard in logical(holding.name, place(parameter, holding), blueprint.sharding):
            columns = shard.global_shape[1:]
            initialise(
                name,
                shard.tensor,
                first_row=shard.offset[0],
                first_column=shard.offset[1] if columns else 0,
                columns=columns[0] if columns else None,
                seed=seed,
                std=blueprint.initializer_range,
            )
