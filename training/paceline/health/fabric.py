"""What the tests of several nodes share: the program that each of their agents starts, and its report.

The nodes meet over TCP at an address that the healer gives out (`Meeting`), so that neither ssh nor MPI is needed. The
program is train/fabric.py; where the agent's Python has no torch, the check is unknown.
"""

from __future__ import annotations

import json
import sys
from typing import ClassVar

from pydantic import ValidationError

from paceline.health.base import Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.base import Record
from paceline.spec.healing import Measurement
from paceline.spec.health import Stage

TOGETHER = frozenset({Stage.MULTI_NODE})
_PAYLOAD_WITHOUT_GPU = 2**24
# below about 1 GiB a healthy fabric reads far lower (stas00/ml-engineering network/README.md)
_PAYLOAD = 2**30


class Report(Record):
    """What the program prints in one line: GB/s of bus bandwidth, of the slowest rail where there are several, and by
    rank on the tested node; elements that were wrong, by node."""

    fabric: str
    nodes: int
    payload: int
    library: str
    speed: float
    rails: tuple[float, ...]
    wrong: tuple[int, ...]


class FabricCheck(Check):
    """`train.fabric` with the mode `mode`, on all nodes of the meeting at once."""

    mode: ClassVar[str]
    stages = TOGETHER
    cost = 60.0
    timeout = 600.0

    def applies(self, node: Node) -> bool:
        # nccom-test across nodes wants MPI, and torch's xla process group was not tried: not claimed for Trainium
        return node.meeting is not None and node.name in node.meeting.nodes and node.family != "neuron"

    async def observe(self, probe: Probe, node: Node) -> str:
        meeting = node.meeting
        assert meeting is not None, "applies() asks for it"
        ranks, payload = (node.accelerators or 1, _PAYLOAD) if node.family else (1, _PAYLOAD_WITHOUT_GPU)
        where = ("--master-addr", meeting.host, "--master-port", str(meeting.port))
        world = ("--nnodes", str(len(meeting.nodes)), "--node-rank", str(meeting.nodes.index(node.name)))
        program = ("-m", "paceline.train.fabric", self.mode, str(payload))
        command = (sys.executable, "-m", "torch.distributed.run", *world, "--nproc-per-node", str(ranks), *where)
        return (await probe.run(*command, *program, timeout=self.timeout - 10)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        report = self._report(text)
        if not any(report.wrong):
            return []
        names = node.meeting.nodes if node.meeting else ()
        counts = ", ".join(f"{name}: {count}" for name, count in zip(names, report.wrong, strict=False))
        return [Symptom(fault="deep.fabric_wrong", evidence=f"{self.mode}: elements that were wrong: {counts}")]

    def measure(self, text: str, node: Node) -> list[Measurement]:
        report = self._report(text)
        return [
            Measurement(
                test=self.name(),
                instance_type=node.instance_type,
                nodes=report.nodes,
                payload=report.payload,
                library=report.library,
                speed=report.speed,
                fault="deep.fabric_slow",
                detail="by rank: " + ", ".join(f"{rail:g}" for rail in report.rails),
            )
        ]

    def _report(self, text: str) -> Report:
        body, code = printed(text)
        lines = [line for line in body.splitlines() if line.startswith('{"fabric"')]
        try:
            [report] = [Report.model_validate(json.loads(line)) for line in lines]
        except (ValueError, ValidationError, RecursionError):
            raise InconclusiveError(f"train.fabric: exit {code}: {body[-200:]}") from None
        if code != 0 or report.fabric != self.mode or report.speed <= 0 or len(report.wrong) != report.nodes:
            raise InconclusiveError(f"train.fabric: exit {code}: {lines[0][:200]}")
        return report
