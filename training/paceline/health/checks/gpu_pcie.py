"""GPUs whose PCIe link has lost lanes. The link's generation is not judged: an idle GPU lowers it."""

from __future__ import annotations

from paceline.health.base import QUICK, Check, Node, Probe, Symptom
from paceline.health.nvidia import gpu, number, rows, table

_FIELDS = ("index", "uuid", "pcie.link.width.current", "pcie.link.width.max")


class GpuPcie(Check):
    """A table of nvidia-smi: lanes now, lanes at most."""

    finds = "GPUs with fewer PCIe lanes than they could have"
    stages = QUICK
    cost = 1.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        return await table(probe, "--query-gpu", _FIELDS)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        found = []
        for row in rows(text, _FIELDS):
            now, most = number(row, _FIELDS[2]), number(row, _FIELDS[3])
            if now is not None and most is not None and now < most:
                evidence = f"{now:.0f} of {most:.0f} lanes"
                found.append(Symptom(fault="nvidia.smi.pcie_width", device=gpu(row), evidence=evidence))
        return found
