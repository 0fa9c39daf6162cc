"""Whether all EFA devices of the instance type are there, with active ports."""

from __future__ import annotations

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.sysfs import files, parse_files
from paceline.spec.health import Device

INFINIBAND = "/sys/class/infiniband"
AMAZON = "0x1d0f"


class EfaCount(Check):
    """Amazon's devices among those that the kernel's RDMA subsystem lists, and the states of their ports."""

    finds = "EFA devices that are missing, ports that are not active"
    stages = QUICK

    def applies(self, node: Node) -> bool:
        return bool(node.efa)

    async def observe(self, probe: Probe, node: Node) -> str:
        devices = (f"{INFINIBAND}/*/device/vendor", f"{INFINIBAND}/*/ports/*/state")
        # the driver's version first: where it is not loaded nobody has looked
        return files(probe, "/sys/module/efa/version", *devices)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        seen = parse_files(text)
        if seen.pop("/sys/module/efa/version", None) is None:
            raise InconclusiveError("the EFA driver is not loaded")
        if strange := [path for path in seen if not path.startswith(f"{INFINIBAND}/")]:
            raise InconclusiveError(f"not an RDMA device: {strange[0][:200]}")
        ours = [p.split("/")[4] for p, vendor in seen.items() if p.endswith("/device/vendor") and vendor == AMAZON]
        found = []
        if len(ours) < (node.efa or 0):
            evidence = f"{len(ours)} of {node.efa} EFA devices: {', '.join(ours)}"
            found.append(Symptom(fault="efa.count", device=Device(kind="nic"), evidence=evidence))
        for index, name in enumerate(ours):
            states = [state for path, state in seen.items() if path.startswith(f"{INFINIBAND}/{name}/ports/")]
            if any("ACTIVE" not in state for state in states):
                device = Device(kind="nic", index=index, serial=name)
                found.append(Symptom(fault="efa.port_down", device=device, evidence=f"{name}: {', '.join(states)}"))
        return found
