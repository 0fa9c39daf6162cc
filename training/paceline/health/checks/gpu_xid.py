"""XIDs: what the NVIDIA driver writes to the kernel log when a GPU, or a program on it, misbehaves."""

from __future__ import annotations

import re

from paceline.catalog.faults import faults
from paceline.health.base import Node, Probe, Symptom
from paceline.health.kmsg import KernelCheck
from paceline.health.nvidia import gpu_at, gpu_names
from paceline.spec.health import Device

# NVRM: Xid (PCI:0000:b3:00.0): 79, pid=1234, name=process, GPU has fallen off the bus.
_XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(?:,|$)")
# ... 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 10 (0x04082907 0x00000008 ...): sub-code, IntrInfo, error status
_NVLINK5 = re.compile(r", (\w+)\s+\w+\s+XC\d\s+i\d\s+Link\s+-?\d+\s+\((0x[0-9a-fA-F]+)\s+(0x[0-9a-fA-F]+)")
# ... 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)
_RECOVERY = re.compile(r"GPU recovery action changed from .* to \S+ \(([^()]+)\)")


class GpuXid(KernelCheck):
    """Every XID of the last hours, then each new one."""

    finds = "XID errors of NVIDIA GPUs in the kernel log"

    def __init__(self) -> None:
        super().__init__()
        self._gpus = ""

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        new = await super().observe(probe, node)
        return gpu_names(probe) + new if "Xid" in new else new

    def parse(self, text: str, node: Node) -> list[Symptom]:
        self._gpus = text
        return super().parse(text, node)

    def judge(self, text: str) -> tuple[str, Device | None] | None:
        match = _XID.search(text)
        if match is None:
            return None
        codes = _codes(match[2], text)
        return next((code for code in codes if code in faults()), codes[-1]), gpu_at(match[1], self._gpus)


def _codes(xid: str, text: str) -> list[str]:
    """The rows that may speak about this message, the most precise first."""
    codes = [f"nvidia.xid.{xid}"]
    if nvlink := _NVLINK5.search(text):
        sub_code = f"nvidia.xid.{xid}.{nvlink[1]}"
        reason = int(nvlink[2], 16) >> 20 & 0x3F  # of a link event: why the link went down
        codes = [f"{sub_code}.{nvlink[3].lower()}", f"{sub_code}.{reason:#04x}", sub_code, *codes]
    if recovery := _RECOVERY.search(text):
        codes = [f"nvidia.xid.{xid}.{recovery[1].lower().replace(' ', '_')}", *codes]
    return codes
