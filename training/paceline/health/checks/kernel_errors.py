"""What the kernel and its drivers report, of everything but NVIDIA's: hang-ups, memory, PCIe, disks, Neuron devices."""

from __future__ import annotations

import re

from paceline.catalog.faults import patterns
from paceline.health.kmsg import KernelCheck
from paceline.spec.health import Device

_NEURON = re.compile(r"\b(?:neuron:? ?|nd)(\d+)\b", re.IGNORECASE)
_DISK = re.compile(r"\b(nvme\d+(?:n\d+)?|sd[a-z]+|xvd[a-z]+|md\d+)\b")


class KernelErrors(KernelCheck):
    """Every message that a row of the catalog's kernel and neuron tables describes."""

    finds = "errors of CPU, memory, PCIe, disks and Neuron devices in the kernel log"

    def judge(self, text: str) -> tuple[str, Device | None] | None:
        for expression, fault in (*patterns("neuron"), *patterns("kernel")):
            if expression.search(text):
                return fault.code, _device(fault.code, text)
        return None


def _device(fault: str, text: str) -> Device | None:
    if fault.startswith("neuron.") and (match := _NEURON.search(text)):
        return Device(kind="neuron", index=int(match[1]))
    if match := _DISK.search(text):
        return Device(kind="disk", serial=match[1])
    return None
