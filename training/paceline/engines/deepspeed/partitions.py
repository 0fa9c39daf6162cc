"""Logical tensors: which part of every parameter, and of its optimizer state, this rank's ZeRO partition holds.

ZeRO lays parameters end to end and cuts the row into equal parts, wherever that is within a parameter (Rajbhandari et
al., 2020); stage 3 does it with every parameter by itself. So a rank holds a run of a parameter's elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.base import LogicalShard
from paceline.models.sharding import ShardingPlan

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """`count` elements of parameter `name` of `shape` from element `start` on: they lie in the partition `flat` from
    `place` on."""

    name: str
    shape: tuple[int, ...]
    start: int
    count: int
    flat: Tensor
    place: int

    def of(self, flat: Tensor) -> Tensor:
        """The same run of something that is laid out like the partition."""
        return flat.detach().narrow(0, self.place, self.count)


class Partition:
    """This rank's part of what learns, behind the ZeRO `optimizer` of stage 1, 2 or 3 for `parameters` by name."""

    def __init__(self, optimizer: Any, parameters: Mapping[str, nn.Parameter], *, stage: int) -> None:
        self._optimizer = optimizer
        self._stage = stage
        find = self._of_parameter if stage == 3 else self._of_group
        self._runs = [find(name, parameter) for name, parameter in parameters.items()]
        inner = optimizer.optimizer
        self._flats = list({id(run.flat): run.flat for run in self._runs}.values())
        for flat in self._flats:
            # eagerly, so that the first checkpoint is complete and a restored one has where to go
            inner.state[flat] = {
                "step": torch.zeros((), dtype=torch.float32, device=flat.device),
                **{kind: torch.zeros_like(flat, requires_grad=False) for kind in MOMENTS},
            }
        self._inner_state = inner.state
        self._published = -1

    def state(self, plan: ShardingPlan) -> Mapping[str, LogicalShard]:
        """Parameters, then `optimizer.<kind>.<name>`, all live."""
        found = {name: shard for run in self._runs for name, shard in logical(run, run.flat, plan)}
        for kind in MOMENTS:
            for run in self._runs:
                moments = self._inner_state[run.flat][kind]
                found |= {f"optimizer.{kind}.{name}": shard for name, shard in logical(run, moments, plan)}
        for run in self._runs:
            step = LogicalShard(tensor=self._inner_state[run.flat]["step"], global_shape=(), offset=())
            found |= {f"optimizer.step.{name}": step for name, _ in logical(run, run.flat, plan)}
        return found

    @torch.no_grad()
    def publish(self) -> None:
        """If anyone has written into the state of any rank since the last update, put it into the model of all.

        A collective: models multiply copies of what the ranks hold, in their own precision.
        """
        written = torch.tensor(int(self._version() != self._published), device=self._flats[0].device)
        dist.all_reduce(written, dist.ReduceOp.MAX)
        if not written.item():
            return
        if self._stage < 3:
            self._optimizer.update_lp_params()
        else:
            self._publish_parameters()
        self.updated()

    def updated(self) -> None:
        """The model holds the state as it is now: an update has just put it there."""
        self._published = self._version()

    def _version(self) -> int:
        return sum(flat._version for flat in self._flats)

    def _publish_parameters(self) -> None:
        zero = self._optimizer
        for number, (held, used) in enumerate(
            zip(zero.fp32_partitioned_groups_flat, zero.fp16_partitioned_groups_flat, strict=True)
        ):
            used.data.copy_(held.data)
            zero._unflatten_partitioned_parameters(number)
        if zero.persistent_parameters:  # small ones stay gathered from step to step
            zero.persistent_parameters[0].partition(zero.persistent_parameters)
            zero.persistent_parameters[0].all_gather(zero.persistent_parameters)

    def _of_group(self, name: str, parameter: Any) -> Run:
        shape, mapping = tuple(parameter.shape), parameter._hp_mapping
        if mapping is None:  # other ranks hold all of it
            return Run(name=name, shape=shape, start=0, count=0, flat=self._group_of(parameter), place=0)
        there, here = mapping.lp_fragment_address, mapping.hp_fragment_address
        return Run(
            name=name,
            shape=shape,
            start=there.start,
            count=there.numel,
            flat=self._optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0],
            place=here.start,
        )

    def _group_of(self, parameter: nn.Parameter) -> Tensor:
        zero = self._optimizer
        groups = getattr(zero, "bit16_groups", None) or zero.bf16_groups
        [number] = [n for n, group in enumerate(groups) if any(one is parameter for one in group)]
        flat: Tensor = zero.optimizer.param_groups[number]["params"][0]
        return flat

    def _of_parameter(self, name: str, parameter: Any) -> Run:
        zero = self._optimizer
        group, place, size = zero.grad_position[zero.get_param_id(parameter)]
        start = min(dist.get_rank() * size, parameter.ds_numel)
        return Run(
            name=name,
            shape=tuple(parameter.ds_shape),
            start=start,
            count=min(size, parameter.ds_numel - start),  # the last ranks may hold padding, or nothing else
            flat=zero.fp32_partitioned_groups_flat[group],
            place=place,
        )


def logical(run: Run, flat: Tensor, plan: ShardingPlan) -> Iterator[tuple[str, LogicalShard]]:
    """The logical tensors of which `run` holds something in `flat`: the parameter, or those of the experts that lie
    in it one after the other."""
    if plan.expert_tensor(run.name, 0) is None:
        yield run.name, LogicalShard(tensor=run.of(flat), global_shape=run.shape, offset=(run.start,))
        return
    experts, *shape = run.shape
    size, held = math.prod(shape), run.of(flat)
    for expert in range(experts):
        low, high = (min(max(at - run.start, 0), run.count) for at in (expert * size, (expert + 1) * size))
        name = plan.expert_tensor(run.name, expert)
        assert name is not None
        start = min(max(run.start - expert * size, 0), size)
        yield name, LogicalShard(tensor=held[low:high], global_shape=tuple(shape), offset=(start,))


def frozen_run(name: str, parameter: Any) -> Run:
    """What this rank holds of a parameter that does not learn: its partition in stage 3, or all of it."""
    if not hasattr(parameter, "ds_tensor"):
        size = parameter.numel()
        return Run(name=name, shape=tuple(parameter.shape), start=0, count=size, flat=parameter.view(-1), place=0)
    flat, size = parameter.ds_tensor, parameter.ds_numel
    start = min(dist.get_rank() * flat.numel(), size)
    count = min(flat.numel(), size - start)
    return Run(name=name, shape=tuple(parameter.ds_shape), start=start, count=count, flat=flat, place=0)
