"""CPU and memory under load, with results compared."""

from __future__ import annotations

from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

# stress-ng(1), exit status: 0 success, 2 one or more stressors reported a failure
_OK, _FAILED = 0, 2


class CpuStress(Check):
    """`stress-ng` on every CPU and most of the memory for a minute."""

    finds = "CPUs and memory that give wrong results under load"
    stages = EXCLUSIVE
    cost = 60.0
    timeout = 180.0

    async def observe(self, probe: Probe, node: Node) -> str:
        load = ("--cpu", "0", "--vm", "2", "--vm-bytes", "50%", "--verify", "--timeout", "60s")
        return (await probe.run("stress-ng", *load, timeout=170.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, code = printed(text)
        if "stress-ng: " not in body or code not in (_OK, _FAILED):
            raise InconclusiveError(f"stress-ng: exit {code}: {body[:200]}")
        failures = [line for line in body.splitlines() if line.startswith("stress-ng: fail:")]
        if code == _OK:
            return []
        if not failures:
            raise InconclusiveError(f"stress-ng: exit {code} without a failure: {body[:200]}")
        return [Symptom(fault="deep.cpu_wrong", device=Device(kind="cpu"), evidence="\n".join(failures))]
