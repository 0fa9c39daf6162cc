"""Ranks, as the default process group counts them."""

from __future__ import annotations

import torch.distributed as dist


def global_ordinal() -> int:
    return dist.get_rank()


def local_ordinal() -> int:
    return dist.get_rank()


def world_size() -> int:
    return dist.get_world_size()


def global_device_count() -> int:
    return dist.get_world_size()
