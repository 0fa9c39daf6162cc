"""How long a rank computes by itself: the forward passes of its layers, in which it waits for nobody.

A step takes all ranks equally long, since they wait for each other in every sum and gather; what differs is what each
needs in between. FSDP has gathered a layer's parameters when the layer begins and gives them back after it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch
from torch import nn


class Pace:
    """Times the forward passes of `units`, modules that are sharded already and hold no collective of their own. On
    CUDA with events, so that nobody waits."""

    def __init__(self, units: Iterable[nn.Module], device: torch.device) -> None:
        self._on_device = device.type == "cuda"
        self._started = 0.0
        self._seconds = 0.0
        self._begun: torch.cuda.Event | None = None
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        for unit in units:
            unit.register_forward_pre_hook(self._begin)
            unit.register_forward_hook(self._end, prepend=True)  # before what FSDP does when the layer is over

    def reset(self) -> None:
        """Forget what was measured."""
        self._seconds = 0.0
        self._events.clear()

    def result(self) -> float:
        """The seconds since `reset`; on CUDA the device must have got past them."""
        milliseconds: float = sum(begun.elapsed_time(ended) for begun, ended in self._events)
        return self._seconds + milliseconds / 1e3

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _begin(self, unit: nn.Module, inputs: object) -> None:
        if self._on_device:
            self._begun = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._begun.record()
        else:
            self._started = time.perf_counter()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _end(self, unit: nn.Module, inputs: object, output: object) -> None:
        if self._begun is not None:
            ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            ended.record()
            self._events.append((self._begun, ended))
        else:
            self._seconds += time.perf_counter() - self._started
