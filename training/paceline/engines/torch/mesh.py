"""The process groups of this rank: one for every axis of the layout along which the work is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from paceline.plan.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis as this rank sees it: `size` ranks, of which it is the `rank`-th. Without others there is no group."""

    size: int = 1
    rank: int = 0
    group: dist.ProcessGroup | None = None


ALONE = Axis()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mesh:
    """Where this rank stands.

    `data` shards the parameters and sums their gradients: (dp_shard * cp), or (dp_replicate, dp_shard * cp).
    `expert_data` does it for the parameters of experts: the ranks of `data` that hold the same ones. `shards` and
    `expert_shards` are their last dimensions.
    `vocabulary` joins the first and the last stage of the pipeline, for embeddings that are tied; others are alone.
    """

    layout: Layout
    data: DeviceMesh
    expert_data: DeviceMesh
    shards: Axis
    expert_shards: Axis
    tp: Axis
    cp: Axis
    ep: Axis
    pp: Axis
    vocabulary: Axis

    @classmethod
    def of(cls, layout: Layout, device_type: str) -> Mesh:
        """Open the groups; a collective of all ranks of the default group."""
        if layout.world_size == layout.dp_shard and layout.ep == 1:
            data = init_device_mesh(device_type, (layout.world_size,), mesh_dim_names=("dp_shard",))
            shards, others = _last(data), dict.fromkeys(("tp", "cp", "ep", "pp", "vocabulary"), ALONE)
            return cls(layout=layout, data=data, expert_data=data, shards=shards, expert_shards=shards, **others)
        ranks = torch.arange(layout.world_size).view(layout.shape)
        # [pp, replicate, shard / ep, ep, cp, tp]
        experts = ranks.view(*layout.shape[:2], layout.dp_shard // layout.ep, layout.ep, layout.cp, layout.tp)
        data = _data(ranks.permute(0, 4, 1, 2, 3).flatten(3).flatten(0, 1), device_type)
        by_expert = experts.permute(0, 5, 3, 1, 2, 4).flatten(4).flatten(0, 2)
        expert_data = data if layout.ep == 1 else _data(by_expert, device_type)
        ends = ranks[[0, -1]].flatten(1).T if layout.pp > 1 else ranks.flatten()[:, None]
        return cls(
            layout=layout,
            data=data,
            expert_data=expert_data,
            shards=_last(data),
            expert_shards=_last(expert_data),
            tp=_axis(ranks.flatten(0, 3)),
            cp=_axis(ranks.movedim(3, -1).flatten(0, 3)),
            ep=_axis(experts.movedim(3, -1).flatten(0, 4)),
            pp=_axis(ranks.movedim(0, -1).flatten(0, 3)),
            vocabulary=_axis(ends),
        )


def _data(ranks: Tensor, device_type: str) -> DeviceMesh:
    """Of [meshes, replicate, shard] ranks the mesh that this rank is in."""
    replicate = ranks.shape[1]
    shards = _group(ranks.flatten(0, 1))
    if replicate == 1:
        return DeviceMesh.from_group(shards, device_type, mesh_dim_names=("dp_shard",))
    replicas = _group(ranks.mT.flatten(0, 1))
    [mine] = ranks[(ranks == dist.get_rank()).any(-1).any(-1)]
    return DeviceMesh.from_group(
        [replicas, shards], device_type, mesh=mine, mesh_dim_names=("dp_replicate", "dp_shard")
    )


def _last(mesh: DeviceMesh) -> Axis:
    last = mesh.ndim - 1
    return Axis(size=mesh.size(last), rank=mesh.get_local_rank(last), group=mesh.get_group(last))


def _axis(ranks: Tensor) -> Axis:
    """Of [groups, size] ranks the axis that this rank is in, if it is in one."""
    if ranks.shape[1] == 1:
        return ALONE
    group = _group(ranks)
    if not (ranks == dist.get_rank()).any():
        return ALONE
    return Axis(size=ranks.shape[1], rank=dist.get_rank(group), group=group)


def _group(ranks: Tensor) -> dist.ProcessGroup:
    """Open a group for every row of `ranks` [groups, size]; the one that this rank is in."""
    mine, _ = dist.new_subgroups_by_enumeration(ranks.tolist())  # type: ignore[no-untyped-call]
    return cast(dist.ProcessGroup, mine)
