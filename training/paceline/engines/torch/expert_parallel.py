"""Expert parallel: ranks share the experts of every layer, and send each other the rows that theirs should see."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.torch.collectives import all_to_all
from paceline.engines.torch.mesh import Axis, Mesh
from paceline.engines.torch.state import Holdings, part
from paceline.models.sharding import ShardingPlan


def apply(model: nn.Module, plan: ShardingPlan, mesh: Mesh, holdings: Holdings) -> None:
    """Keep of a `model` on the meta device this rank's experts, which are successive."""
    if mesh.ep.size == 1:
        return
    for name, parameter in list(model.named_parameters()):
        if plan.expert_tensor(name, 0) is None:
            continue
        holdings[name], shape = part(holdings[name], 0, mesh.ep)
        owner, _, attribute = name.rpartition(".")
        mine = nn.Parameter(torch.empty(shape, dtype=parameter.dtype, device=parameter.device))
        setattr(model.get_submodule(owner), attribute, mine)


def dispatch(experts: Callable[[Tensor, Tensor], Tensor], rows: Tensor, counts: Tensor, axis: Axis) -> Tensor:
    """`rows` [N, hidden] sorted by expert, `counts` [E] for each: what the experts, wherever they are, make of them.

    Rows travel as they are: nothing is padded and none is dropped.
    """
    arriving = torch.empty_like(counts)
    dist.all_to_all_single(arriving, counts, group=axis.group)
    arriving = arriving.view(axis.size, -1)  # [rank that sent, own expert]
    numbers = torch.stack((counts.view(axis.size, -1).sum(dim=1), arriving.sum(dim=1))).tolist()
    sent, received = numbers
    arrived = all_to_all(rows, sent, received, axis)
    # by sender and expert -> by expert
    own = torch.arange(arriving.shape[1], device=rows.device).repeat(axis.size)
    order = own.repeat_interleave(arriving.flatten(), output_size=sum(received)).argsort(stable=True)
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    mixed = experts(arrived[order], arriving.sum(dim=0))
    return all_to_all(mixed[back], received, sent, axis)
