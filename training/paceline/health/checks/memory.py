"""Host memory: as much as the instance type has, and no uncorrectable errors."""

from __future__ import annotations

from paceline.catalog.checks import limit
from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.sysfs import files, parse_files
from paceline.spec.health import Device

_TOTAL = "/proc/meminfo"
_UNCORRECTED = "/sys/devices/system/edac/mc/mc[0-9]*/ue_count"


class Memory(Check):
    """The kernel's total, and the counters of the memory controllers where their driver is loaded."""

    finds = "host memory that is missing or has uncorrectable errors"
    stages = QUICK

    async def observe(self, probe: Probe, node: Node) -> str:
        return files(probe, _TOTAL, _UNCORRECTED)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        seen = parse_files(text)
        total = seen.pop(_TOTAL, "").split()[:3]
        if len(total) != 3 or total[0] != "MemTotal:" or not total[1].isdecimal() or total[2] != "kB":
            raise InconclusiveError(f"{_TOTAL}: {' '.join(total)[:200]}")
        found = []
        gib = int(total[1]) / 2**20
        if node.memory_gib is not None and gib < node.memory_gib * (1 - limit("memory_missing_percent") / 100):
            evidence = f"{gib:.0f} of {node.memory_gib} GiB"
            found.append(Symptom(fault="host.memory_missing", device=Device(kind="memory"), evidence=evidence))
        for path, count in seen.items():
            if not path.endswith("/ue_count") or not count.isdecimal():
                raise InconclusiveError(f"{path[:200]}: {count[:40]}")
            if int(count):
                device = Device(kind="memory", serial=path.split("/")[-2])
                found.append(Symptom(fault="host.memory_uncorrected", device=device, evidence=f"{path}: {count}"))
        return found
