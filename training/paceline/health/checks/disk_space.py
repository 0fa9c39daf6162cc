"""Local file systems that are nearly full."""

from __future__ import annotations

import re

from paceline.catalog.checks import limit
from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.spec.health import Device

_LINE = re.compile(r"(/\S*) free (\d+(?:\.\d+)?) inodes (\d+(?:\.\d+)?)")


class DiskSpace(Check):
    """Free space and inodes of the root and of every file system on a local disk."""

    finds = "local file systems that are nearly full"
    stages = QUICK

    async def observe(self, probe: Probe, node: Node) -> str:
        places = {"/": "/"}
        for line in probe.read("/proc/mounts").splitlines():
            device, mount, *_ = line.split()
            if re.match(r"/dev/(nvme|md|mapper|sd|xvd|vg)", device):
                places.setdefault(device, mount)
        lines = []
        for mount in sorted(set(places.values())):
            free, inodes = probe.space(mount)
            lines.append(f"{mount} free {free:.1f} inodes {inodes:.1f}\n")
        return "".join(lines)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        if not text.endswith("\n"):
            raise InconclusiveError("the list of file systems is not whole")
        found = []
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                raise InconclusiveError(f"not a file system: {line[:200]}")
            device = Device(kind="disk", serial=match[1])
            if float(match[2]) < limit("disk_free_percent"):
                found.append(
                    Symptom(fault="host.disk_full", device=device, evidence=f"{match[2]} % of {match[1]} free")
                )
            if float(match[3]) < limit("inodes_free_percent"):
                evidence = f"{match[3]} % of the inodes of {match[1]} free"
                found.append(Symptom(fault="host.inodes_full", device=device, evidence=evidence))
        return found
