"""Groups of ranks along [pp, dp, cp, tp], the last fastest."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup

Mesh = list[list[int]]
_axes: dict[str, tuple[ProcessGroup, Mesh]] = {}
_sizes: dict[str, int] = {}


def initialize_model_parallel(
    tensor_model_parallel_size: int = 1,
    pipeline_model_parallel_size: int = 1,
    context_parallel_size: int = 1,
    expert_model_parallel_size: int = 1,
    skip_collective_init: bool = False,
    lnc_size: int = 1,
    mesh_only: bool = False,
) -> Any:
    tp, pp, cp = tensor_model_parallel_size, pipeline_model_parallel_size, context_parallel_size
    ranks = torch.arange(dist.get_world_size()).view(pp, -1, cp, tp)
    for dimension, axis in enumerate(("pp", "dp", "cp", "tp")):
        _open(axis, ranks.movedim(dimension, -1).flatten(0, 2).tolist())
    _open("zero", ranks.permute(0, 3, 1, 2).flatten(2).flatten(0, 1).tolist())


def initialize_kv_group(kv_shared_group_size: int = 1, sequential_ranks_in_group: bool = False) -> None:
    """Neighbours share key/value heads, as on trn2."""
    if "kv" not in _axes:
        _open("kv", [half for row in _axes["tp"][1] for half in _cut(row, kv_shared_group_size)])


def model_parallel_is_initialized() -> bool:
    return bool(_axes)


def destroy_model_parallel() -> None:
    _axes.clear()
    _sizes.clear()


def destroy_kv_group() -> None:
    _axes.pop("kv", None)


def get_tensor_model_parallel_group(as_list: bool = False) -> Any:
    return _axes["tp"][as_list]


def get_tensor_model_parallel_replica_groups() -> Mesh:
    return _axes["tp"][1]


def get_tensor_model_parallel_size() -> int:
    return dist.get_world_size(_axes["tp"][0])


def get_tensor_model_parallel_rank() -> int:
    return dist.get_rank(_axes["tp"][0])


def get_data_parallel_size() -> int:
    return dist.get_world_size(_axes["dp"][0])


def get_data_parallel_rank() -> int:
    return dist.get_rank(_axes["dp"][0])


def get_pipeline_model_parallel_group(as_list: bool = False) -> Any:
    return _axes["pp"][as_list]


def get_pipeline_model_parallel_size() -> int:
    return dist.get_world_size(_axes["pp"][0])


def get_pipeline_model_parallel_rank() -> int:
    return dist.get_rank(_axes["pp"][0])


def get_context_model_parallel_group(as_list: bool = False) -> Any:
    return _axes["cp"][as_list]


def get_context_model_parallel_size() -> int:
    return dist.get_world_size(_axes["cp"][0])


def get_context_model_parallel_rank() -> int:
    return dist.get_rank(_axes["cp"][0])


def get_context_model_parallel_src_tgt_pairs() -> Mesh:
    return [[a, b] for row in _axes["cp"][1] for a, b in zip(row, row[1:] + row[:1], strict=True)]


def get_kv_shared_group(as_list: bool = False) -> Any:
    return _axes["kv"][as_list]


def get_kv_shared_replica_groups() -> Mesh:
    return _axes["kv"][1]


def get_zero1_sharding_groups() -> Mesh:
    return _axes["zero"][1]


def _open(axis: str, mesh: Mesh) -> None:
    for ranks in mesh:
        group = dist.new_group(ranks, backend="gloo")
        if dist.get_rank() in ranks:
            assert isinstance(group, ProcessGroup)
            _axes[axis] = (group, mesh)


def _cut(row: list[int], size: int) -> Mesh:
    return [row[first : first + size] for first in range(0, len(row), size)]
