"""Numbers that a device computes, and what the device itself says, for engines on PyTorch."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import torch

from paceline.engines.base import Device


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """A Metric that waits for its tensor when it is asked."""

    tensor: torch.Tensor

    def result(self) -> float:
        return self.tensor.item()


def describe(device: torch.device) -> Device:
    """What this process computes on."""
    if device.type != "cpu":
        driver = getattr(torch, device.type)
        return Device(name=driver.get_device_name(device), peak_memory_bytes=driver.max_memory_allocated(device))
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Device(name="cpu", peak_memory_bytes=kibibytes * 1024)
