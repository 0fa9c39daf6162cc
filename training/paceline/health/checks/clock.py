"""Whether the clock follows another one: events of several nodes are compared by their times."""

from __future__ import annotations

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom, printed

_LEAP = "Leap status"


class Clock(Check):
    """`chronyc tracking`, on the machine images of EC2."""

    finds = "a clock that is not synchronised"
    stages = QUICK

    def applies(self, node: Node) -> bool:
        return node.instance_type is not None

    async def observe(self, probe: Probe, node: Node) -> str:
        return (await probe.run("chronyc", "-n", "tracking", timeout=10.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, code = printed(text)
        said = dict(line.split(":", 1) for line in body.splitlines() if ":" in line)
        leap = next((value.strip() for key, value in said.items() if key.strip() == _LEAP), None)
        if code != 0 or leap not in ("Normal", "Insert second", "Delete second", "Not synchronised"):
            raise InconclusiveError(f"chronyc tracking: {body[:200]}")
        if leap == "Not synchronised":
            return [Symptom(fault="host.clock_unsynchronised", evidence=f"{_LEAP}: {leap}")]
        return []
