"""In what precision a rank computes. Parameters, gradients as they are summed, and the optimizer stay float32."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from paceline.models.sharding import ShardingPlan
from paceline.recipe.schema import Compute
from paceline.spec.errors import RecipeError

_FLOAT8_SINCE = (8, 9)  # compute capability: Ada and Hopper, https://docs.pytorch.org/ao/stable/workflows/training.html


def policy(compute: Compute) -> MixedPrecisionPolicy:
    """How FSDP2 casts parameters, inputs and gradients."""
    if compute.precision == "float32":
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def has_float8() -> bool:
    """Whether this process can train in float8."""
    capable = torch.cuda.is_available() and torch.cuda.get_device_capability() >= _FLOAT8_SINCE
    return capable and find_spec("torchao") is not None


def apply(model: nn.Module, plan: ShardingPlan, compute: Compute) -> None:
    """Let the shared linear modules of a `model` on the meta device multiply in float8, if the recipe says so.

    RecipeError where that cannot be. Head and router keep their precision: https://arxiv.org/abs/2209.05433
    """
    if compute.precision != "float8":
        return
    if not has_float8():
        raise RecipeError(
            "compute.precision: float8 needs torchao and a GPU of compute capability 8.9 or above",
            "set compute.precision to bfloat16",
        )
    from torchao.float8 import convert_to_float8_training

    convert_to_float8_training(
        model,
        module_filter_fn=lambda module, name: plan.split(name) in ("columns", "rows") and module.weight.dim() == 2,
    )
