"""ZeRO-1 (Rajbhandari et al., 2020) as torch-xla has it: float32 chunks of the parameters along their first dimension,
padded to a whole number, are what the optimizer changes; the parameters are gathered from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

import torch_xla.core.xla_model as xm
import torch_xla.runtime as xr


class ZeroRedundancyOptimizer(Optimizer):
    def __init__(
        self,
        params: Iterator[Tensor],
        optimizer_class: type[Optimizer],
        optimizer_dtype: Any | None = None,
        grad_clipping: bool = True,
        max_norm: float | None = None,
        pin_layout: bool = True,
        sharding_groups: Any | None = None,
        grad_norm_groups: Any | None = None,
        lazy_init: bool = False,
        bucket_cap_mb_all_gather: int = 0,
        bucket_cap_mb_reduce_scatter: int = 0,
        use_grad_acc_hook: bool = False,
        save_master_weights: bool = False,
        higher_cc_precision: bool = False,
        **defaults: Any,
    ) -> None:
        super().__init__(params, defaults)
        self._sharding_groups = sharding_groups or [list(range(xr.world_size()))]
        self._grad_norm_groups = grad_norm_groups
        self.optimizer_dtype = optimizer_dtype or torch.float32
        self.grad_clipping = grad_clipping
        self.max_norm = 1.0 if max_norm is None else max_norm
        self.use_grad_acc_hook = use_grad_acc_hook
        self._grad_norm: Tensor | None = None
        [group] = [list(ranks) for ranks in self._sharding_groups if xr.global_ordinal() in ranks]
        self.local_world_size, self.local_rank = len(group), group.index(xr.global_ordinal())
        self.base_optimizer = optimizer_class(self._shard_parameters(), **defaults)
        self._sync_param_groups(self.param_groups, self.base_optimizer.param_groups)
        self.inited = True

    @property
    def grad_norm(self) -> Tensor | None:
        return self._grad_norm

    @torch.no_grad()
    def step(self, closure: Any = None, **kwargs: Any) -> None:
        self._reduce_gradients(**kwargs)
        if self.grad_clipping:
            self._clip_grad_norm(max_norm=self.max_norm)
        self._update_parameters(**kwargs)

    def zero_grad(self, set_to_none: bool = False) -> None:
        super().zero_grad(set_to_none=set_to_none)
        for _, shard in self._pairs():
            if self.use_grad_acc_hook and hasattr(shard, "main_grad"):
                shard.main_grad.zero_()

    def allgather_weights_and_update_full_parameter(self, sharding_scheme: Any = None) -> None:
        """Of parameters that have a gradient: that they took part in a step is how it tells which have changed."""
        for parameter, shard in self._pairs():
            if self._gradient(parameter, shard) is not None:
                whole = xm.all_gather(shard.data.to(parameter.dtype), dim=0, groups=self._sharding_groups)
                parameter.data.copy_(whole[: parameter.shape[0]])

    def _update_parameters(self, **kwargs: Any) -> None:
        self.base_optimizer.step(closure=None)
        self.base_optimizer.zero_grad(set_to_none=True)
        self.allgather_weights_and_update_full_parameter()
        self._sync_param_groups(self.base_optimizer.param_groups, self.param_groups)

    def _reduce_gradients(self, **kwargs: Any) -> None:
        self._sync_param_groups(self.param_groups, self.base_optimizer.param_groups)
        for parameter, shard in self._pairs():
            gradient = self._gradient(parameter, shard)
            if gradient is not None:
                shard.grad = xm.reduce_scatter(
                    xm.REDUCE_SUM,
                    self._padded(gradient.to(self.optimizer_dtype)),
                    scale=1.0 / self.local_world_size,
                    scatter_dim=0,
                    shard_count=self.local_world_size,
                    groups=self._sharding_groups,
                )

    def _clip_grad_norm(self, max_norm: float, norm_type: float = 2.0) -> None:
        gradients = [shard.grad for _, shard in self._pairs() if shard.grad is not None]
        squared = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        xm.all_reduce(xm.REDUCE_SUM, [squared], groups=self._sharding_groups)
        if self._grad_norm_groups is not None:
            xm.all_reduce(xm.REDUCE_SUM, [squared], groups=self._grad_norm_groups)
        self._grad_norm = squared.sqrt()
        for gradient in gradients:
            gradient.mul_((max_norm / (self._grad_norm + 1e-6)).clamp(max=1.0))

    def _shard_parameters(self) -> list[dict[str, Any]]:
        return [group | {"params": [self._shard(p) for p in group["params"]]} for group in self.param_groups]

    def _shard(self, parameter: Tensor) -> nn.Parameter:
        part = self._padded(parameter.data).chunk(self.local_world_size)[self.local_rank]
        shard = nn.Parameter(part.to(self.optimizer_dtype).clone(), requires_grad=parameter.requires_grad)
        if self.use_grad_acc_hook:
            parameter.register_post_accumulate_grad_hook(lambda p: self._accumulate(p, shard))
        return shard

    def _accumulate(self, parameter: Tensor, shard: nn.Parameter) -> None:
        if not hasattr(shard, "main_grad"):
            shard.main_grad = torch.zeros_like(parameter, dtype=self.optimizer_dtype)
            parameter.main_grad = shard.main_grad  # type: ignore[attr-defined]
        assert parameter.grad is not None
        shard.main_grad.add_(parameter.grad.to(self.optimizer_dtype))
        parameter.grad = None

    def _gradient(self, parameter: Tensor, shard: Tensor) -> Tensor | None:
        return getattr(shard, "main_grad", None) if self.use_grad_acc_hook else parameter.grad

    def _padded(self, tensor: Tensor) -> Tensor:
        missing = -tensor.shape[0] % self.local_world_size
        return F.pad(tensor, [0, 0] * (tensor.dim() - 1) + [0, missing]) if missing else tensor

    def _pairs(self) -> Iterator[tuple[Tensor, Any]]:
        for group, sharded in zip(self.param_groups, self.base_optimizer.param_groups, strict=True):
            yield from zip(group["params"], sharded["params"], strict=True)

    @staticmethod
    def _sync_param_groups(source: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
        for given, taken in zip(source, target, strict=True):
            taken.update({name: value for name, value in given.items() if name != "params"})
