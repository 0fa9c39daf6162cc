"""AdamW on the local shards.

The update is element by element, so it needs no knowledge of the sharding. Working on plain local tensors keeps the
dispatch of distributed tensors, and its first-call cost after every restart, out of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from paceline.engines.base import LogicalShard
from paceline.engines.torch.state import beside, logical, place
from paceline.models.sharding import ShardingPlan
from paceline.recipe.schema import Optimizer


class ShardedAdamW:
    """AdamW (Loshchilov and Hutter, 2019) over this rank's rows of all parameters of `model`."""

    def __init__(self, model: nn.Module, recipe: Optimizer, plan: ShardingPlan) -> None:
        self._model = model
        self._plan = plan
        self._shards = {name: place(parameter) for name, parameter in model.named_parameters()}
        self._locals = {name: nn.Parameter(shard.tensor) for name, shard in self._shards.items()}
        matrices = [p for p in self._locals.values() if p.dim() > 1]
        vectors = [p for p in self._locals.values() if p.dim() <= 1]
        self._adamw = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            betas=recipe.betas,
            eps=recipe.epsilon,
            fused=True,
        )
        # eagerly, so that the first checkpoint is complete and a restored one has where to go
        for parameter in self._locals.values():
            self._adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }

    def state(self) -> Mapping[str, LogicalShard]:
        """Parameters, then `optimizer.<kind>.<name>`, all live."""
        parameters = {
            tensor: shard for name, held in self._shards.items() for tensor, shard in logical(name, held, self._plan)
        }
        return parameters | dict(self._optimizer_state())

    def squared_gradient_norm(self) -> torch.Tensor:
        """This rank's part of the squared global norm, a float32 scalar; takes over the gradients of the model."""
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                assert parameter.grad is not None, f"{name} took no part in the loss"
                self._locals[name].grad = place(parameter.grad).tensor
        gradients = [p.grad for p in self._locals.values() if p.grad is not None]
        return nn.utils.get_total_norm(gradients).square()

    def step(self, *, learning_rate: float, gradient_norm: torch.Tensor, gradient_clip: float) -> None:
        """Scale the gradients so that their global norm is at most `gradient_clip`, update, and drop them."""
        nn.utils.clip_grads_with_norm_(self._locals.values(), gradient_clip, gradient_norm)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        self._adamw.zero_grad()
        self._model.zero_grad()

    def _optimizer_state(self) -> Iterator[tuple[str, LogicalShard]]:
        for kind in ("exp_avg", "exp_avg_sq", "step"):
            for name, parameter in self._locals.items():
                held = beside(self._adamw.state[parameter][kind], self._shards[name])
                if held.global_shape:
                    shards = dict(logical(name, held, self._plan))
                else:  # the count of updates, which all experts share
                    shards = {tensor: held for tensor, _ in logical(name, self._shards[name], self._plan)}
                for tensor, shard in shards.items():
                    yield f"optimizer.{kind}.{tensor}", shard
