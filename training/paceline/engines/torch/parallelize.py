"""Build this rank's part of a model: on the meta device, split along every axis of the mesh, then storage for it only.

The order matters: a stage first, then what its ranks share of every matrix, then what runs again backward or is
compiled, and around all of it the sharding over data ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from paceline.engines.objectives.registry import objective
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
from paceline.models import adapter, lora
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

    def learned(self) -> Iterator[tuple[Holding, nn.Parameter]]:
        """Every sharded parameter of this rank that training changes, with what it is of the whole."""
        return self._parameters(lambda parameter: parameter.requires_grad)

    def frozen(self) -> Iterator[tuple[Holding, nn.Parameter]]:
        """The others."""
        return self._parameters(lambda parameter: not parameter.requires_grad)

    def _parameters(self, wanted: Callable[[nn.Parameter], bool]) -> Iterator[tuple[Holding, nn.Parameter]]:
        for name, parameter in self.model.named_parameters():
            if wanted(parameter):
                yield self.holdings[name], parameter


def build(blueprint: Blueprint, recipe: Recipe, mesh: Mesh, *, seed: int | None) -> list[Stage]:
    """This rank's stages of the model of `blueprint`, first to last. What `model.weights` does not hold has its first
    values, unless `seed` is None."""
    learns = None if recipe.adapter is None else adapter.learns
    stages = [
        _stage(blueprint, recipe, mesh, index, learns=learns)
        for index in pipeline_parallel.stages_of(mesh, recipe.parallelism)
    ]
    for stage in stages:
        _materialise(stage, blueprint, recipe, mesh, seed)
    return stages


def build_reference(blueprint: Blueprint, recipe: Recipe, mesh: Mesh, *, seed: int | None) -> Stage:
    """The same model once more, whole, to be frozen as it was when training started."""
    stage = _stage(blueprint, recipe, mesh, 0, learns=lambda name: False)
    _materialise(stage, blueprint, recipe, mesh, seed)
    return stage


def _stage(
    blueprint: Blueprint,
    recipe: Recipe,
    mesh: Mesh,
    index: int,
    *,
    learns: Callable[[str], bool] | None,
) -> Stage:
    plan, chosen = blueprint.sharding, recipe.parallelism
    layers = ParallelLayers(recipe, mesh)
    with torch.device("meta"):
        model = cast(CausalLM, blueprint.build(layers))
        if objective(recipe).head == "score":
            model.end_with_score(layers)
        if recipe.adapter is not None:
            lora.attach(model, recipe.adapter, layers)
    holdings = whole(model, mesh)
    pipeline_parallel.apply(model, index, mesh, chosen, holdings)
    precision.apply(model, plan, recipe.compute)
    tensor_parallel.apply(model, plan, mesh, holdings, sequence_parallel=chosen.sequence_parallel)
    expert_parallel.apply(model, plan, mesh, holdings)
    policy = precision.policy(recipe.compute)
    if learns is not None:
        lora.freeze(model, learns, policy.param_dtype or torch.float32)
    activation_checkpointing.apply(model, plan, recipe.compute)
    if recipe.compute.compile:
        for unit in plan.unit_modules(model):
            # without a word PyTorch makes a graph for all shapes as soon as it has seen two
            backend = {"backend": "neuron"} if mesh.data.device_type == "neuron" else {}
            unit.compile(dynamic=False if recipe.compute.static_shapes else None, **backend)
    data_parallel.apply(model, plan, mesh, holdings, policy)
    return Stage(index=index, model=model, holdings=holdings)


def _materialise(stage: Stage, blueprint: Blueprint, recipe: Recipe, mesh: Mesh, seed: int | None) -> None:
    stage.model.to_empty(device=mesh.data.device_type)
    for holding, parameter in (*stage.learned(), *stage.frozen()):
        if seed is None or (recipe.model.weights is not None and not adapter.learns(holding.name)):
            continue
        for name, shard in logical(holding.name, place(parameter, holding), blueprint.sharding):
            columns = shard.global_shape[1:]
            initialise(
                name,
                shard.tensor,
                first_row=shard.offset[0],
                first_column=shard.offset[1] if columns else 0,
                columns=columns[0] if columns else None,
                seed=seed,
                std=adapter.first_deviation(name, columns[0], blueprint.initializer_range) if columns else 0.0,
            )
