"""Low-rank adapters (LoRA: Hu et al., 2021): a model that is frozen, and small products beside its linear layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.models import nf4
from paceline.models.layers import LayerFactory
from paceline.recipe.method import Adapter, Target


class FrozenLinear(nn.Module):
    """A linear layer that does not learn. One that is `quantised` has float weights until `compress`."""

    codes: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear, *, quantised: bool) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.quantised = quantised
        self._compressed = False

    @torch.no_grad()
    def compress(self) -> None:
        """Hold the weights in 4 bits from now on, if this layer is quantised."""
        if self.quantised and not self._compressed:
            codes, scales = nf4.quantise(self.weight)
            del self.weight
            self.register_buffer("codes", codes)
            self.register_buffer("scales", scales)
            self._compressed = True

    def forward(self, x: Tensor) -> Tensor:
        if not self._compressed:
            return F.linear(x, self.weight, self.bias)
        product = nf4.linear(x, self.codes, self.scales)
        return product if self.bias is None else product + self.bias


class LoraLinear(FrozenLinear):
    """x -> W x + scale * up(down(x)), with W frozen; without the second part while it is not `active`."""

    def __init__(self, linear: nn.Linear, adapter: Adapter, layers: LayerFactory) -> None:
        super().__init__(linear, quantised=adapter.quantize is not None)
        self.lora_A = layers.linear(linear.in_features, adapter.rank)
        self.lora_B = layers.linear(adapter.rank, linear.out_features)
        self.scale = adapter.scale
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        frozen = super().forward(x)
        return frozen + self.scale * self.lora_B(self.lora_A(x)) if self.active else frozen


def attach(model: nn.Module, adapter: Adapter, layers: LayerFactory) -> None:
    """Give the `adapter.targets` of a `model` on the meta device their adapters; those and all other linear layers of
    its decoder layers are then quantised, if the adapter says so."""
    for name, module in list(model.named_modules()):
        leaf = name.rpartition(".")[2]
        if not isinstance(module, nn.Linear) or leaf not in get_args(Target):
            continue
        if leaf in adapter.targets:
            model.set_submodule(name, LoraLinear(module, adapter, layers))
        elif adapter.quantize is not None:
            model.set_submodule(name, FrozenLinear(module, quantised=True))


def freeze(model: nn.Module, learns: Callable[[str], bool], dtype: torch.dtype) -> None:
    """Let only the parameters of a `model` on the meta device whose names `learns` accepts learn; hold the others in
    `dtype`, in which they are multiplied anyway."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if not learns(name):
            if parameter not in made:  # what is tied stays so
                made[parameter] = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, made[parameter])


def compress(model: nn.Module) -> None:
    """Quantise what is to be quantised, now that it has its values."""
    for module in model.modules():
        if isinstance(module, FrozenLinear):
            module.compress()


def quantised_weights(model: nn.Module) -> set[nn.Parameter]:
    """The weights that `compress` will replace."""
    found = [module for module in model.modules() if isinstance(module, FrozenLinear) and module.quantised]
    return {cast(nn.Parameter, module.weight) for module in found}


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """The model as it was before it learned."""
    adapted = [module for module in model.modules() if isinstance(module, LoraLinear)]
    for module in adapted:
        module.active = False
    try:
        yield
    finally:
        for module in adapted:
            module.active = True
