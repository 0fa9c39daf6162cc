"""NVLinks that are down on one GPU while the others have them.

How many links a GPU should have depends on the machine, so the GPUs of a node are compared with each other.
"""

from __future__ import annotations

import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

_GPU = re.compile(r"GPU (\d+): .+ \(UUID: (GPU-\S+)\)")
_LINK = re.compile(r"\s*Link (\d+): (?:([\d.]+) GB/s|(<inactive>))")


class GpuNvlink(Check):
    """`nvidia-smi nvlink -s`."""

    finds = "NVLinks that are inactive"
    stages = QUICK
    cost = 1.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia" and (node.accelerators or 0) > 1

    async def observe(self, probe: Probe, node: Node) -> str:
        return (await probe.run("nvidia-smi", "nvlink", "-s", timeout=20.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, code = printed(text)
        inactive: dict[Device, set[int]] = {}
        links: set[int] | None = None
        active: set[int] = set()
        for line in body.splitlines():
            if match := _GPU.fullmatch(line.strip()):
                links = inactive[Device(kind="gpu", index=int(match[1]), serial=match[2])] = set()
            elif (match := _LINK.fullmatch(line.rstrip())) and links is not None:
                if match[3]:
                    links.add(int(match[1]))
                else:
                    active.add(int(match[1]))
            elif line.strip():
                raise InconclusiveError(f"nvidia-smi nvlink: {line.strip()[:200]}")
        if code != 0 or not active:
            raise InconclusiveError(f"nvidia-smi nvlink: no active link: {body[:200]}")
        return [
            Symptom(
                fault="nvidia.smi.nvlink_inactive",
                device=device,
                evidence=f"links {', '.join(map(str, sorted(links & active)))} are inactive, and active on other GPUs",
            )
            for device, links in inactive.items()
            if links & active
        ]
