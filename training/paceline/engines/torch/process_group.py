"""Join and leave the default process group of torch: gloo on CPU, NCCL on CUDA, and on Neuron that of its own PyTorch,
which nobody has run this on yet (docs/concepts/neuron.md)."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed import HashStore, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from paceline.engines.base import RankContext

# on Neuron every new shape of a collective is a new graph: objects and tensors of the host go by gloo
_BACKENDS = {"cpu": "gloo", "cuda": "nccl", "neuron": "cpu:gloo,neuron:neuron"}


def join(context: RankContext) -> str:
    """Meet the peers of `context`'s generation; the type of the device that this rank has."""
    return _open(meet(context), context.rank, context.world_size)


def meet(context: RankContext) -> Store:
    """The store in which the peers of `context`'s generation find each other.

    Keys in the store are prefixed by the generation: addresses of peers that died must not be found by those that
    follow (torchrun drops such a prefix, and its gloo jobs then cannot restart).
    """
    meeting = context.rendezvous
    serves = context.rank == 0
    store = TCPStore(
        meeting.host,
        meeting.port,
        context.world_size,
        is_master=serves,
        wait_for_workers=False,
        master_listen_fd=meeting.listen_fd if serves else None,
    )
    return PrefixStore(f"generation-{context.generation}", store)


def join_alone() -> str:
    """A world of one, without a socket or peers."""
    return _open(HashStore(), 0, 1)


def leave() -> None:
    """Close the default group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _open(store: Store, rank: int, world_size: int) -> str:
    device = accelerator()
    if device != "cpu":
        driver = getattr(torch, device)
        driver.set_device(rank % driver.device_count())  # ranks of one node are neighbours
    dist.init_process_group(_BACKENDS[device], store=store, rank=rank, world_size=world_size)
    return device


def accelerator() -> str:
    """The type of this machine's devices; its driver is `torch.<type>`, which torch-neuronx adds for `neuron`."""
    if torch.cuda.is_available():
        return "cuda"
    return "neuron" if hasattr(torch, "neuron") and torch.neuron.is_available() else "cpu"
