"""AdamW on float32 chunks of the parameters, dealt over the ranks that share a batch (ZeRO-1, as torch-xla has it).

The chunks are the parameters of a checkpoint; what the model computes with is gathered from them after every update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import neuronx_distributed as nxd
import torch
from torch import Tensor, nn

from paceline.engines.base import LogicalShard
from paceline.engines.nxd.layers import Holding
from paceline.engines.nxd.model import Part
from paceline.recipe.schema import Optimizer


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    """This rank's rows of a `parameter`, in float32; what is beyond `rows` only fills the chunk up."""

    parameter: nn.Parameter
    held: Any
    rows: int
    holding: Holding

    def place(self, tensor: Tensor) -> LogicalShard:
        """`tensor`, laid out like the chunk, as a part of the whole."""
        own = tensor.detach()[: self.rows]
        return LogicalShard(tensor=own, global_shape=self.holding.global_shape, offset=self.holding.offset)


class Zero1AdamW:
    """AdamW (Loshchilov and Hutter, 2019) over what of `part` learns."""

    def __init__(self, config: dict[str, Any], part: Part, recipe: Optimizer) -> None:
        learned = list(part.learned())
        matrices = [parameter for _, parameter in learned if parameter.dim() > 1]
        vectors = [parameter for _, parameter in learned if parameter.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._stepped = nxd.initialize_parallel_optimizer(
            config,
            torch.optim.AdamW,
            [group for group in groups if group["params"]],
            lr=recipe.learning_rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            # NeuronX Distributed does not hand `max_grad_norm` of its configuration on to ZeRO-1
            max_norm=recipe.gradient_clip,
        )
        self._zero = self._stepped.optimizer
        self._chunks = self._deal(learned)
        self._state = self._begin()
        self._adopted = False

    def state(self) -> Mapping[str, LogicalShard]:
        """Parameters, then `optimizer.<kind>.<name>`, all live."""
        return self._state

    def adopt(self) -> None:
        """Gather into the model what was filled into `state` since it was built; a collective, once."""
        if self._adopted:
            return
        for chunk in self._chunks:
            # torch-xla gathers what has a gradient; its own `load_state_dict` does the same
            chunk.held.main_grad = torch.zeros_like(chunk.parameter, dtype=torch.float32)
            chunk.parameter.main_grad = chunk.held.main_grad  # type: ignore[attr-defined]
        with torch.no_grad():
            self._zero.allgather_weights_and_update_full_parameter()
        self._adopted = True

    def step(self, learning_rate: float) -> Tensor:
        """Sum gradients, clip them to their global norm, update and gather; the norm before clipping, a scalar."""
        for group in self._stepped.param_groups:
            group["lr"] = learning_rate
        self._stepped.step()
        norm: Tensor = self._stepped.grad_norm
        self._stepped.zero_grad()
        return norm.detach().reshape(())

    def _deal(self, learned: list[tuple[Holding, nn.Parameter]]) -> list[_Chunk]:
        held: dict[nn.Parameter, nn.Parameter] = {}
        for group, sharded in zip(self._zero.param_groups, self._zero.base_optimizer.param_groups, strict=True):
            held.update(zip(group["params"], sharded["params"], strict=True))
        chunks = []
        for holding, parameter in learned:
            rows = parameter.shape[0]
            size = -(-rows // self._zero.local_world_size)
            first = min(self._zero.local_rank * size, rows)
            mine = Holding(
                name=holding.name,
                global_shape=holding.global_shape,
                offset=(holding.offset[0] + first, *holding.offset[1:]),
            )
            own = min(first + size, rows) - first
            chunks.append(_Chunk(parameter=parameter, held=held[parameter], rows=own, holding=mine))
        return chunks

    def _begin(self) -> dict[str, LogicalShard]:
        """The state before the first step, made now, so that the first checkpoint is complete and a restored one has
        where to go."""
        parameters, moments, steps = {}, {}, {}
        for chunk in self._chunks:
            name, state = chunk.holding.name, self._zero.base_optimizer.state
            step = torch.zeros((), dtype=torch.float32)  # on the host, where AdamW counts
            state[chunk.held] = {"step": step}
            parameters[name] = chunk.place(chunk.held)
            for kind in ("exp_avg", "exp_avg_sq"):
                state[chunk.held][kind] = torch.zeros_like(chunk.held, requires_grad=False)
                moments[f"optimizer.{kind}.{name}"] = chunk.place(state[chunk.held][kind])
            steps[f"optimizer.step.{name}"] = LogicalShard(tensor=step, global_shape=(), offset=())
        return parameters | moments | steps
