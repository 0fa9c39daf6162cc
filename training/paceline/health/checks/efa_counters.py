"""Error counters of EFA devices that grow faster than they should."""

from __future__ import annotations

from paceline.catalog.checks import efa_bursts
from paceline.health.base import Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.sysfs import files, parse_files
from paceline.spec.health import Device, Stage

_COUNTERS = "/sys/class/infiniband/*/ports/*/hw_counters"


class EfaCounters(Check):
    """How much each counter has grown since the last look. The first look only remembers."""

    finds = "EFA error counters that grow"
    stages = frozenset({Stage.CONTINUOUS})

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def applies(self, node: Node) -> bool:
        return bool(node.efa)

    async def observe(self, probe: Probe, node: Node) -> str:
        now = _values(files(probe, *(f"{_COUNTERS}/{name}" for name in efa_bursts())))
        if not now:
            raise InconclusiveError("the EFA driver shows no counters")
        grown = {path: value - self._before.get(path, value) for path, value in now.items()}
        self._before = now
        return "".join(f"{path}: {max(0, value)}\n" for path, value in grown.items()) + "end\n"

    def parse(self, text: str, node: Node) -> list[Symptom]:
        found = []
        for path, grown in _values(text).items():
            parts = path.split("/")
            name, counter = parts[4], parts[-1]
            if grown > efa_bursts()[counter]:
                evidence = f"{name}: {counter} grew by {grown} in {self.period:g} s"
                device = Device(kind="nic", serial=name)
                found.append(Symptom(fault=f"efa.{counter}", device=device, evidence=evidence))
        return found


def _values(text: str) -> dict[str, int]:
    values = {}
    for path, value in parse_files(text).items():
        parts = path.split("/")
        if len(parts) != 9 or parts[-1] not in efa_bursts() or not value.isdecimal():
            raise InconclusiveError(f"not an EFA counter: {path[:200]}: {value[:40]}")
        values[path] = int(value)
    return values
