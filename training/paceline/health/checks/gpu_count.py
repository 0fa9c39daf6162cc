"""Whether all GPUs of the instance type are there."""

from __future__ import annotations

import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

_GPU = re.compile(r"GPU \d+: .+ \(UUID: GPU-[0-9a-f-]+\)")
_GONE = ("No devices were found", "GPU is lost", "Unable to determine the device handle for")


class GpuCount(Check):
    """`nvidia-smi -L`, which lists them, or says which one it has lost."""

    finds = "GPUs that are missing"
    stages = QUICK
    cost = 1.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia" and node.accelerators is not None

    async def observe(self, probe: Probe, node: Node) -> str:
        return (await probe.run("nvidia-smi", "-L", timeout=20.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, _ = printed(text)
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        listed = [line for line in lines if _GPU.fullmatch(line)]
        told = [line for line in lines if any(words in line for words in _GONE)]
        if len(listed) + len(told) != len([line for line in lines if not line.startswith("MIG ")]) or not lines:
            raise InconclusiveError(f"nvidia-smi -L: {body[:200]}")
        if len(listed) >= (node.accelerators or 0):
            return []
        evidence = f"{len(listed)} of {node.accelerators} GPUs; {'; '.join(told)}"
        return [Symptom(fault="nvidia.smi.count", device=Device(kind="gpu"), evidence=evidence)]
