"""Linear layers and embeddings whose weights ranks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import init

from neuronx_distributed.parallel_layers import regions
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_group


def mark(parameter: nn.Parameter, dimension: int) -> nn.Parameter:
    """Say that `parameter` is this rank's part along `dimension`."""
    parameter.tensor_model_parallel = True  # type: ignore[attr-defined]
    parameter.partition_dim = dimension  # type: ignore[attr-defined]
    return parameter


class ParallelEmbedding(nn.Module):
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        init_method: Callable[[Any], Any] = init.normal_,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        shard_across_embedding: bool = False,
        pad: bool = False,
        sequence_parallel_enabled: bool = False,
        tensor_model_parallel_group: ProcessGroup | None = None,
        use_spmd_rank: bool = False,
        sequence_dimension: int | None = None,
        tile_cc: bool = False,
        rank_ordering: list[int] | None = None,
        collect_output: bool = True,
    ) -> None:
        super().__init__()
        assert not sequence_parallel_enabled, "the engine scatters positions itself"
        self.group = tensor_model_parallel_group or get_tensor_model_parallel_group()
        rows = num_embeddings // self.group.size()
        self.start_index = rows * self.group.rank()
        self.weight = mark(nn.Parameter(torch.empty(rows, embedding_dim, device=device, dtype=dtype)), 0)
        self.collect_output = collect_output

    def forward(self, input_: Tensor) -> Tensor:
        rows = input_ - self.start_index
        elsewhere = (rows < 0) | (rows >= self.weight.shape[0])
        part = F.embedding(rows.masked_fill(elsewhere, 0), self.weight).masked_fill(elsewhere.unsqueeze(-1), 0)
        return regions.reduce(part, self.group) if self.collect_output else part


class ColumnParallelLinear(nn.Module):
    def __init__(
        self,
        input_size: int,
        output_size: int,
        bias: bool = True,
        gather_output: bool = True,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        stride: int = 1,
        init_method: Callable[[Any], Tensor] | None = None,
        sequence_parallel_enabled: bool = False,
        sequence_dimension: int | None = None,
        keep_master_weight: bool = False,
        skip_bias_add: bool = False,
        pad: bool = False,
        pad_alignment_size_per_rank: int = 1,
        keep_padded_output: bool = False,
        tensor_model_parallel_group: ProcessGroup | None = None,
        reduce_dtype: torch.dtype = torch.float32,
        rank_ordering: list[int] | None = None,
    ) -> None:
        super().__init__()
        assert not gather_output, "the engine gathers no outputs"
        self.group = tensor_model_parallel_group or get_tensor_model_parallel_group()
        rows = output_size // self.group.size()
        self.weight = mark(nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype)), 0)
        self.bias = mark(nn.Parameter(torch.empty(rows, device=device, dtype=dtype)), 0) if bias else None
        self.sequence_dimension = (sequence_dimension or 0) if sequence_parallel_enabled else None

    def forward(self, input: Tensor, slice_indices: Tensor | None = None) -> Tensor:
        whole = self.sequence_dimension is None
        entered = (
            regions.copy(input, self.group)
            if whole
            else regions.gather(input, self.sequence_dimension or 0, self.group)
        )
        return F.linear(entered, self.weight, self.bias)


class RowParallelLinear(nn.Module):
    def __init__(
        self,
        input_size: int,
        output_size: int,
        bias: bool = True,
        input_is_parallel: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        stride: int = 1,
        init_method: Callable[..., Any] | None = None,
        sequence_parallel_enabled: bool = False,
        sequence_dimension: int | None = None,
        keep_master_weight: bool = False,
        skip_bias_add: bool = False,
        pad: bool = False,
        reduce_output: bool = True,
        tensor_model_parallel_group: ProcessGroup | None = None,
        reduce_dtype: torch.dtype = torch.float32,
        tile_cc: bool = False,
        rank_ordering: list[int] | None = None,
    ) -> None:
        super().__init__()
        assert input_is_parallel and not bias, "the engine has no others"
        self.group = tensor_model_parallel_group or get_tensor_model_parallel_group()
        columns = input_size // self.group.size()
        self.weight = mark(nn.Parameter(torch.empty(output_size, columns, device=device, dtype=dtype)), 1)
        self.sequence_dimension = (sequence_dimension or 0) if sequence_parallel_enabled else None

    def forward(self, input_: Tensor, slice_indices: Tensor | None = None) -> Tensor:
        part = F.linear(input_, self.weight)
        if self.sequence_dimension is None:
            return regions.reduce(part, self.group)
        return regions.scatter(part, self.sequence_dimension, self.group)
