"""GPUs that are hot, or that the hardware slows down."""

from __future__ import annotations

from paceline.catalog.checks import limit
from paceline.health.base import QUICK, Check, Node, Probe, Symptom
from paceline.health.nvidia import gpu, number, rows, table

# `clocks_throttle_reasons` is the older name, which newer drivers still take
_SLOWED = {
    "clocks_throttle_reasons.hw_thermal_slowdown": "nvidia.smi.thermal_slowdown",
    "clocks_throttle_reasons.hw_power_brake_slowdown": "nvidia.smi.power_brake",
}
_FIELDS = ("index", "uuid", "temperature.gpu", *_SLOWED)


class GpuThermal(Check):
    """A table of nvidia-smi: temperature, and why clocks are low."""

    finds = "GPUs that are too hot or slowed down by the hardware"
    stages = QUICK
    cost = 1.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        return await table(probe, "--query-gpu", _FIELDS)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        found = []
        for row in rows(text, _FIELDS):
            degrees = number(row, "temperature.gpu")
            evidence = f"{degrees} C, " + ", ".join(f"{field} {row.get(field)}" for field in _SLOWED)
            faults = [fault for field, fault in _SLOWED.items() if row.get(field) == "Active"]
            if degrees is not None and degrees >= limit("temperature_c"):
                faults.append("nvidia.smi.hot")
            found += [Symptom(fault=fault, device=gpu(row), evidence=evidence) for fault in faults]
        return found
