"""Activation checkpointing: layers forget what they computed and do it again backward (Chen et al., 2016)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from paceline.models.sharding import ShardingPlan
from paceline.recipe.schema import Compute

_aten = torch.ops.aten
# what takes longest to compute again
_KEPT = [
    _aten.mm.default,
    _aten.addmm.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.higher_order.flex_attention,
]


def apply(model: nn.Module, plan: ShardingPlan, compute: Compute) -> None:
    """Let one of `compute.checkpoint_every` units of `model` run checkpointed."""
    if compute.activation_checkpointing == "none":
        return
    # models draw no random numbers, so there is no state of a generator to keep
    how: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    if compute.activation_checkpointing == "selective":
        how["context_fn"] = partial(create_selective_checkpoint_contexts, _KEPT)
    for number, unit in enumerate(plan.unit_modules(model)):
        if number % compute.checkpoint_every == 0:
            unit.forward = partial(checkpoint, unit.forward, **how)
