"""PyTorch's flight recorder: the newest collectives of this process, and those that it still waits in.

gloo and NCCL write into it by themselves, each into its own, TORCH_FR_BUFFER_SIZE entries (2000 if it is not set, none
if it is 0: torch/csrc/distributed/c10d/FlightRecorder.hpp).
"""

from __future__ import annotations

import torch.distributed as dist
from torch._C import _distributed_c10d as c10d


def dump() -> bytes:
    """All of it, as JSON; empty without a process group. Any thread may ask, also while another waits in a call."""
    if not dist.is_initialized():
        return b""
    recorder = "_dump_nccl_trace_json" if dist.get_backend() == "nccl" else "_dump_fr_trace_json"
    recorded: bytes = getattr(c10d, recorder)(True, False)  # collectives too, not only those that are under way
    return recorded
