"""Hand the default process group to DeepSpeed, and take it back.

DeepSpeed keeps its groups in module globals and never closes them; a process that trains in one generation after the
other has to forget those of the last.
"""

from __future__ import annotations

import os

import deepspeed
import torch
from deepspeed.comm import comm
from deepspeed.utils import groups

from paceline.engines.base import RankContext
from paceline.engines.torch import process_group


def join(context: RankContext | None) -> torch.device:
    """Meet the peers of `context`'s generation, or nobody without one; the device that this rank has."""
    kind = process_group.join_alone() if context is None else process_group.join(context)
    device = torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)
    os.environ["LOCAL_RANK"] = str(device.index or 0)  # what DeepSpeed takes its device from
    # sums in shared memory for CPUs: compiled at first use, with a compiler that an image does not have
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if kind == "cuda" else "gloo", verbose=False)
    return device


def leave() -> None:
    """Close the default group, if there is one. Safe twice."""
    process_group.leave()
    comm.cdb = None
    groups._WORLD_GROUP = None
