"""A model of this engine: built on the meta device, shared, and given memory and first values for what is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from paceline.engines.nxd.attention import kernel
from paceline.engines.nxd.layers import Holding, Holdings, NxdLayers, share
from paceline.models import adapter, lora
from paceline.models.blueprint import Blueprint
from paceline.models.decoder import CausalLM
from paceline.models.initialise import initialise
from paceline.recipe.schema import Recipe

# what NeuronX Distributed notes at parameters
_MARKS = (
    "tensor_model_parallel",
    "partition_dim",
    "partition_stride",
    "num_partitions",
    "sequence_parallel_enabled",
    "shared",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """This rank's part of a model. The parameters of other stages of a pipeline stay on the meta device."""

    model: CausalLM
    holdings: Holdings

    def learned(self) -> Iterator[tuple[Holding, nn.Parameter]]:
        """What training changes, with what it is of the whole."""
        return self._parameters(lambda parameter: parameter.requires_grad)

    def frozen(self) -> Iterator[tuple[Holding, nn.Parameter]]:
        """The others."""
        return self._parameters(lambda parameter: not parameter.requires_grad)

    def _parameters(self, wanted: Callable[[nn.Parameter], bool]) -> Iterator[tuple[Holding, nn.Parameter]]:
        for name, parameter in self.model.named_parameters():
            if not parameter.is_meta and wanted(parameter):
                yield self.holdings[name], parameter


def build(blueprint: Blueprint, recipe: Recipe, *, learns: Callable[[str], bool] | None) -> Part:
    """The whole model on the meta device; `learns` says which parameters do, if not all."""
    layers = NxdLayers(kernel(recipe))
    with torch.device("meta"):
        model = cast(CausalLM, blueprint.build(layers))
        if recipe.adapter is not None:
            lora.attach(model, recipe.adapter, layers)
    if learns is not None:
        lora.freeze(model, learns, precision(recipe))
    return Part(model=model, holdings=share(model, blueprint.sharding, recipe.parallelism))


def precision(recipe: Recipe) -> torch.dtype:
    """In which the device holds and multiplies parameters; the optimizer's are float32."""
    return torch.bfloat16 if recipe.compute.precision == "bfloat16" else torch.float32


def give_memory(modules: Iterator[nn.Module] | list[nn.Module], dtype: torch.dtype) -> None:
    """Memory on the host for all parameters of `modules`; what is tied stays tied, what is marked stays marked."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    owners = [owner for module in modules for owner in module.modules()]
    for owner in owners:
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter not in made:
                empty = torch.empty(parameter.shape, dtype=dtype)
                made[parameter] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
                for mark in _MARKS:
                    if hasattr(parameter, mark):
                        setattr(made[parameter], mark, getattr(parameter, mark))
            setattr(owner, name, made[parameter])


def give_first_values(part: Part, recipe: Recipe, deviation: float, seed: int | None) -> None:
    """First values for what `model.weights` does not hold; none with `seed` None."""
    for holding, parameter in (*part.learned(), *part.frozen()):
        if seed is None or (recipe.model.weights is not None and not adapter.learns(holding.name)):
            continue
        columns = holding.global_shape[1:]
        initialise(
            holding.name,
            parameter.detach(),
            first_row=holding.offset[0],
            first_column=holding.offset[1] if columns else 0,
            columns=columns[0] if columns else None,
            seed=seed,
            std=adapter.first_deviation(holding.name, columns[0], deviation) if columns else 0.0,
        )
