"""What an optimizer step sums and clips before it updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch_xla.core.xla_model as xm
from torch import Tensor

from neuronx_distributed.parallel_layers import parallel_state


def gradient(parameter: Any) -> Tensor | None:
    found: Tensor | None = parameter.grad if parameter.grad is not None else getattr(parameter, "main_grad", None)
    return found


def sum_sequence_parallel(parameters: Sequence[Any]) -> None:
    """Of parameters that every rank has whole and applies to its positions."""
    for parameter in parameters:
        found = gradient(parameter)
        if getattr(parameter, "sequence_parallel_enabled", False) and found is not None:
            dist.all_reduce(found, group=parallel_state.get_tensor_model_parallel_group())


def average_context_parallel(parameters: Sequence[Any]) -> None:
    size = parallel_state.get_context_model_parallel_size()
    for parameter in parameters:
        found = gradient(parameter)
        if size > 1 and found is not None:
            dist.all_reduce(found.div_(size), group=parallel_state.get_context_model_parallel_group())


def norm(shards: Sequence[Any], sharding_groups: list[list[int]]) -> Tensor:
    """Global L2 norm: what tp ranks all have counts once, what is `shared` does not count here, [1] as it is there."""
    total = torch.zeros(1)
    for shard in shards:
        if not getattr(shard, "shared", False):
            copies = (
                1 if getattr(shard, "tensor_model_parallel", False) else parallel_state.get_tensor_model_parallel_size()
            )
            total += shard.grad.square().sum() / copies
    dist.all_reduce(total, group=parallel_state.get_tensor_model_parallel_group())
    dist.all_reduce(total, group=parallel_state.get_pipeline_model_parallel_group())
    xm.all_reduce(xm.REDUCE_SUM, [total], groups=sharding_groups)
    return total.sqrt()
