"""What the engine's own layers ask for at the borders of parallel regions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from neuronx_distributed.parallel_layers import regions
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_group


def copy_to_tensor_model_parallel_region(input_: Tensor, process_group: ProcessGroup | None = None) -> Tensor:
    return regions.copy(input_, process_group or get_tensor_model_parallel_group())


def gather_from_sequence_parallel_region(
    input_: Tensor,
    sequence_dimension: int = 0,
    to_model_parallel: bool = True,
    process_group: ProcessGroup | None = None,
    tile_cc: bool = False,
) -> Tensor:
    assert to_model_parallel, "the engine gathers only what then differs"
    return regions.gather(input_, sequence_dimension, process_group or get_tensor_model_parallel_group())


def reduce_scatter_to_sequence_parallel_region(
    input_: Tensor,
    sequence_dimension: int = 0,
    process_group: ProcessGroup | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    return regions.scatter(input_, sequence_dimension, process_group or get_tensor_model_parallel_group())
