"""Data parallel: ranks have their own parts of the batch, and shard the parameters over each other with FSDP2.

One mesh dimension shards (FSDP: Zhao et al., 2023); a second one before it replicates what is sharded (HSDP). Replicas
of shards of one are DDP.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard

from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.state import Holdings
from paceline.models.lora import quantised_weights
from paceline.models.sharding import ShardingPlan


def apply(model: nn.Module, plan: ShardingPlan, mesh: Mesh, holdings: Holdings, policy: MixedPrecisionPolicy) -> None:
    """Shard a `model` on the meta device in place, by the units of `plan`.

    Gradients are summed over ranks, not averaged: the loss is divided by the tokens of the global batch. The stages of
    a pipeline keep their gathered parameters until the step is done, or every pass would gather them again. What is
    quantised every rank has whole: gathering 4 bits a weight in every pass costs more than holding them.
    """
    gathered_anew = mesh.layout.pp == 1
    ignored = quantised_weights(model)
    if mesh.layout.ep > 1:
        for experts in plan.expert_modules(model):
            _shard(experts, mesh.expert_data, policy, ignored, reshard_after_forward=gathered_anew)
    for unit in plan.unit_modules(model):
        _shard(unit, mesh.data, policy, ignored, reshard_after_forward=gathered_anew)
    _shard(model, mesh.data, policy, ignored, reshard_after_forward=False)
    for name, holding in holdings.items():
        of_experts = plan.expert_tensor(name, 0) is not None
        holdings[name] = replace(holding, shards=mesh.expert_shards if of_experts else mesh.shards)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled reduction


def _shard(
    module: nn.Module,
    mesh: DeviceMesh,
    policy: MixedPrecisionPolicy,
    ignored: set[nn.Parameter],
    *,
    reshard_after_forward: bool,
) -> None:
    ranks = mesh.size(mesh.ndim - 1)

    def placement(parameter: nn.Parameter) -> Shard:
        # there may be fewer experts than ranks, and rows of each are enough for all
        of_experts = parameter.dim() == 3
        return Shard(1 if of_experts and parameter.shape[1] % ranks == 0 else 0)

    fully_shard(
        module,
        mesh=mesh,
        mp_policy=policy,
        reshard_after_forward=reshard_after_forward,
        shard_placement_fn=placement,
        ignored_params=ignored,
    )
