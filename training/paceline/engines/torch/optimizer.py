"""AdamW on the local shards; the matrices inside of layers go to Muon or to 8-bit AdamW, if the recipe wants it.

The update is element by element, so it needs no knowledge of the sharding. Working on plain local tensors keeps the
dispatch of distributed tensors, and its first-call cost after every restart, out of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.base import LogicalShard
from paceline.engines.torch.adamw8bit import ShardedAdamW8bit
from paceline.engines.torch.mesh import Axis
from paceline.engines.torch.muon import ShardedMuon
from paceline.engines.torch.parallelize import Stage
from paceline.engines.torch.state import Holding, beside, logical, place
from paceline.models.sharding import ShardingPlan
from paceline.recipe.schema import Optimizer

_TABLES = ("model.embed_tokens.weight", "lm_head.weight")  # a row per token: no linear map between hidden states


class ShardedAdamW:
    """AdamW (Loshchilov and Hutter, 2019) over this rank's blocks of the parameters of its `stages` that learn."""

    def __init__(self, stages: Sequence[Stage], recipe: Optimizer, plan: ShardingPlan) -> None:
        self._plan = plan
        held = [pair for stage in stages for pair in stage.learned()]
        self._holdings: dict[str, Holding] = {holding.name: holding for holding, _ in held}
        self._sharded = {holding.name: parameter for holding, parameter in held}
        self._shards = {holding.name: place(parameter, holding) for holding, parameter in held}
        self._locals = {name: nn.Parameter(shard.tensor) for name, shard in self._shards.items()}
        inner = {n: p for n, p in self._locals.items() if p.dim() > 1 and n not in _TABLES}
        self._inner: ShardedMuon | ShardedAdamW8bit | None = None
        if recipe.name == "muon":
            self._inner = ShardedMuon(inner, self._sharded, weight_decay=recipe.weight_decay)
        elif recipe.name == "adamw8bit":
            self._inner = ShardedAdamW8bit(
                inner, betas=recipe.betas, epsilon=recipe.epsilon, weight_decay=recipe.weight_decay
            )
        self._by_adamw = {name: p for name, p in self._locals.items() if self._inner is None or name not in inner}
        matrices = [p for p in self._by_adamw.values() if p.dim() > 1]
        vectors = [p for p in self._by_adamw.values() if p.dim() <= 1]
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
        for parameter in self._by_adamw.values():
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

    def squared_gradient_norm(self) -> Tensor:
        """This rank's part of the squared global norm, a float32 scalar; takes over the gradients of the model.

        Those of which ranks have parts are summed first. What several ranks hold counts once.
        """
        by_copies: dict[int, list[Tensor]] = {}
        with torch.no_grad():
            for name, parameter in self._sharded.items():
                assert parameter.grad is not None, f"{name} took no part in the loss"
                gradient = place(parameter.grad, self._holdings[name]).tensor
                self._locals[name].grad = gradient
                by_copies.setdefault(self._holdings[name].copies, []).append(gradient)
            self._sum_parts()
        norms = [nn.utils.get_total_norm(gradients).square() / n for n, gradients in by_copies.items()]
        return torch.stack(norms).sum()

    def step(self, *, learning_rate: float, gradient_norm: Tensor, gradient_clip: float) -> None:
        """Scale the gradients so that their global norm is at most `gradient_clip`, update, and drop them."""
        nn.utils.clip_grads_with_norm_(self._locals.values(), gradient_clip, gradient_norm)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        if self._inner is not None:
            self._inner.step(learning_rate)
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget what backward left."""
        for parameter in self._locals.values():
            parameter.grad = None
        for parameter in self._sharded.values():
            parameter.grad = None

    def _sum_parts(self) -> None:
        """One sum for all gradients of which the same ranks have parts: these are small and many."""
        parts: dict[Axis, list[Tensor]] = {}
        for name, holding in self._holdings.items():
            gradient = self._locals[name].grad
            assert gradient is not None
            for axis in holding.summed_over:
                parts.setdefault(axis, []).append(gradient)
        for axis, gradients in parts.items():
            total = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(total, group=axis.group)
            for gradient, summed in zip(gradients, torch.split(total, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def _optimizer_state(self) -> Iterator[tuple[str, LogicalShard]]:
        by_adamw = {
            kind: {name: self._adamw.state[parameter][kind] for name, parameter in self._by_adamw.items()}
            for kind in ("exp_avg", "exp_avg_sq", "step")
        }
        for states in (by_adamw, self._inner.state if self._inner is not None else {}):
            for kind, tensors in states.items():
                for name, tensor in tensors.items():
                    for logical_name, shard in self._logical(name, tensor):
                        yield f"optimizer.{kind}.{logical_name}", shard

    def _logical(self, name: str, tensor: Tensor) -> Iterator[tuple[str, LogicalShard]]:
        """The logical tensors of the state `tensor` of parameter `name`."""
        held = beside(tensor, self._shards[name])
        if held.global_shape:
            yield from logical(name, held, self._plan)
        else:  # the count of updates, which all experts share
            yield from ((slice_name, held) for slice_name, _ in logical(name, self._shards[name], self._plan))
