"""What Neuron devices say of themselves: the components that their own health check names, and ECC counters."""

from __future__ import annotations

import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.neuron import DEVICES
from paceline.health.sysfs import files, parse_files
from paceline.spec.health import Device

# neuronN/stats/hardware/health_status/unhealthy_components, from driver 2.30.2 on; the place of `stats` below the
# device differs between drivers
_HEALTH = f"{DEVICES}/neuron[0-9]*/**/hardware/health_status/unhealthy_components"
_ECC = (f"{DEVICES}/neuron[0-9]*/**/hardware/{name}" for name in ("mem_ecc_uncorrected", "sram_ecc_uncorrected"))
_REPAIRABLE = f"{DEVICES}/neuron[0-9]*/**/hardware/mem_ecc_repairable_uncorrected"
_PATTERNS = (_HEALTH, *_ECC, _REPAIRABLE)

_PATH = re.compile(r".*/neuron(\d+)/(?:.+/)?hardware/(?:health_status/)?(\w+)")
_COMPONENT = re.compile(r"(firmware_\w+|axi_fabric|hbm|sram|link_\w+)")
_COUNTERS = {
    "mem_ecc_uncorrected": "neuron.ecc_uncorrected",
    "sram_ecc_uncorrected": "neuron.ecc_uncorrected",
    "mem_ecc_repairable_uncorrected": "neuron.ecc_repairable",
}


class NeuronHealth(Check):
    """Files of the driver's sysfs tree."""

    finds = "components and links that Neuron devices call unhealthy, uncorrectable memory errors"
    stages = QUICK

    def applies(self, node: Node) -> bool:
        return node.family == "neuron"

    async def observe(self, probe: Probe, node: Node) -> str:
        return files(probe, *_PATTERNS)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        seen = parse_files(text)
        if not seen:
            raise InconclusiveError("the Neuron driver shows no health in sysfs")
        found = []
        for path, value in seen.items():
            match = _PATH.fullmatch(path)
            if match is None:
                raise InconclusiveError(f"unknown file {path}")
            device = Device(kind="neuron", index=int(match[1]))
            for fault in _faults(match[2], value):
                found.append(Symptom(fault=fault, device=device, evidence=f"{match[2]}: {value}"))
        return found


def _faults(name: str, value: str) -> list[str]:
    if name in _COUNTERS:
        if not value.isdecimal():
            raise InconclusiveError(f"{name} is {value[:40]!r}")
        return [_COUNTERS[name]] if int(value) else []
    components = [part.strip() for part in value.split(",") if part.strip() not in ("", "none")]
    if strange := [part for part in components if not _COMPONENT.fullmatch(part)]:
        raise InconclusiveError(f"{name} names {strange[0][:40]!r}")
    kinds = {"neuron.unhealthy_link" if c.startswith("link_") else "neuron.unhealthy_component" for c in components}
    return sorted(kinds)
