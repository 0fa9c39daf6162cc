from __future__ import annotations

import os

import torch

from benchmarks.common.process import resident_bytes
from paceline.engines.torch.allocator import keep_freed_memory

SIZE = 64 << 20


def test_the_pages_of_a_freed_tensor_stay() -> None:
    keep_freed_memory()
    tensor = torch.ones(SIZE, dtype=torch.uint8)
    held = resident_bytes(os.getpid())
    del tensor
    assert resident_bytes(os.getpid()) > held - SIZE / 2
