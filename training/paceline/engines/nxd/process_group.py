"""Join and leave the process groups of a rank: `xla` for the Neuron device, and gloo for what is on the host.

With NXD_CPU_MODE=1 everything is gloo, as in NeuronX Distributed itself (its `utils.cpu_mode`).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import cast

import torch.distributed as dist
from neuronx_distributed.parallel_layers import parallel_state
from torch.distributed import HashStore, Store  # type: ignore[attr-defined]

from paceline.engines.base import RankContext
from paceline.engines.torch.process_group import meet


def on_cpu() -> bool:
    """Whether NeuronX Distributed runs without a Neuron device."""
    return int(os.environ.get("NXD_CPU_MODE", "0")) > 0


def join(context: RankContext, processes_per_node: int) -> dist.ProcessGroup:
    """Meet the peers of `context`'s generation; the group of all ranks on their hosts.

    Sums of 64-bit integers and whatever must not become a graph go over the hosts.
    """
    if not on_cpu():
        _tell_runtime(context, processes_per_node)
    return _open(meet(context), context.rank, context.world_size)


def join_alone() -> dist.ProcessGroup:
    """A world of one, without a socket or peers."""
    return _open(HashStore(), 0, 1)


def leave() -> None:
    """Close all groups, if there are any."""
    if parallel_state.model_parallel_is_initialized():
        parallel_state.destroy_model_parallel()
        parallel_state.destroy_kv_group()
    if dist.is_initialized():
        dist.destroy_process_group()


def _open(store: Store, rank: int, world_size: int) -> dist.ProcessGroup:
    if on_cpu():
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    else:
        import_module("torch_xla.distributed.xla_backend")  # registers `xla`
        dist.init_process_group("xla", store=store, rank=rank, world_size=world_size)
    return cast(dist.ProcessGroup, dist.new_group(backend="gloo"))


def _tell_runtime(context: RankContext, processes_per_node: int) -> None:
    """What torchrun would have set: torch-neuronx reads it when the device is opened."""
    os.environ.update(
        RANK=str(context.rank),
        WORLD_SIZE=str(context.world_size),
        LOCAL_RANK=str(context.rank % processes_per_node),
        LOCAL_WORLD_SIZE=str(processes_per_node),
        MASTER_ADDR=context.rendezvous.host,
        MASTER_PORT=str(context.rendezvous.port),
    )
