"""The optimizer that users step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch_xla.distributed.zero_redundancy_optimizer import ZeroRedundancyOptimizer

from neuronx_distributed.parallel_layers import grads


class NeuronZero1Optimizer(ZeroRedundancyOptimizer):
    """Its norm knows which parameters tp ranks share."""

    def _clip_grad_norm(self, max_norm: float, norm_type: float = 2.0) -> None:
        shards = []
        for parameter, shard in self._pairs():
            if shard.grad is not None:
                shard.shared = getattr(parameter, "shared", False)  # type: ignore[attr-defined]
                shard.tensor_model_parallel = getattr(parameter, "tensor_model_parallel", False)  # type: ignore[attr-defined]
                shards.append(shard)
        self._grad_norm = grads.norm(shards, self._sharding_groups)
        for shard in shards:
            assert shard.grad is not None
            shard.grad.mul_((max_norm / (self._grad_norm + 1e-6)).clamp(max=1.0))


class NxDOptimizer(Optimizer):
    def __init__(self, optimizer: NeuronZero1Optimizer, nxd_config: dict[str, Any]) -> None:
        self.optimizer = optimizer
        self.nxd_config = nxd_config

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.optimizer.param_groups

    @property
    def grad_norm(self) -> Tensor | None:
        return self.optimizer.grad_norm

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        with torch.no_grad():
            grads.average_context_parallel(parameters)
            if self.nxd_config["sequence_parallel"]:
                grads.sum_sequence_parallel(parameters)
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = False) -> None:
        self.optimizer.zero_grad(set_to_none=set_to_none)
