"""SXids: what the NVSwitch driver writes to the kernel log."""

from __future__ import annotations

import re

from paceline.health.base import Node
from paceline.health.kmsg import KernelCheck
from paceline.spec.health import Device

# nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): 24007, Fatal, Link 28 sourcetrack timeout error (First)
_SXID = re.compile(r"nvidia-nvswitch(\d+): SXid \(PCI:[0-9a-fA-F:.]+\): (\d{5}), ")


class GpuSxid(KernelCheck):
    """Every SXid of the last hours, then each new one."""

    finds = "SXid errors of NVSwitches in the kernel log"

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    def judge(self, text: str) -> tuple[str, Device | None] | None:
        match = _SXID.search(text)
        if match is None:
            return None
        return f"nvidia.sxid.{match[2]}", Device(kind="nvswitch", index=int(match[1]))
