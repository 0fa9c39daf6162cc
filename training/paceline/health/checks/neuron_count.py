"""Whether all Neuron devices of the instance type are there."""

from __future__ import annotations

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.neuron import DEVICES
from paceline.health.sysfs import files, parse_files
from paceline.spec.health import Device


class NeuronCount(Check):
    """The directories that the driver makes in sysfs, one per device."""

    finds = "Neuron devices that are missing"
    stages = QUICK

    def applies(self, node: Node) -> bool:
        return node.family == "neuron" and node.accelerators is not None

    async def observe(self, probe: Probe, node: Node) -> str:
        # the version first: without the driver no device is missing, nobody has looked
        return files(probe, "/sys/module/neuron/version", f"{DEVICES}/neuron[0-9]*/core_count")

    def parse(self, text: str, node: Node) -> list[Symptom]:
        seen = parse_files(text)
        if seen.pop("/sys/module/neuron/version", None) is None:
            raise InconclusiveError("the Neuron driver is not loaded")
        if any(not path.startswith(f"{DEVICES}/") for path in seen):
            raise InconclusiveError(f"not Neuron devices: {', '.join(seen)[:200]}")
        if len(seen) >= (node.accelerators or 0):
            return []
        evidence = f"{len(seen)} of {node.accelerators} Neuron devices"
        return [Symptom(fault="neuron.count", device=Device(kind="neuron"), evidence=evidence)]
