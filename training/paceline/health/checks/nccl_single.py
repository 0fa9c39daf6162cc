"""A collective between all GPUs of the node: right results, and as fast as a healthy node of its kind.

Speed is judged here against what was published of the same instance type, payload and NCCL version; the healer compares
it with the rest of the fleet.
"""

from __future__ import annotations

import re

from paceline.catalog.checks import Baseline, baselines, limit
from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.healing import Measurement

# size count type redop root, then time algbw busbw #wrong: out of place, in place
_ROW = re.compile(r"\s*(\d+)\s+\d+\s+\S+\s+\S+\s+-?\d+" + r"\s+[\d.]+\s+[\d.]+\s+([\d.]+)\s+(\d+|N/A)" * 2 + r"\s*")
_VERSION = re.compile(r"NCCL version (\d+\.\d+\.\d+)|nccl-library=(\d+)")
_BOUNDS = re.compile(r"# Out of bounds values : (\d+) (OK|FAILED)")


class NcclSingle(Check):
    """`all_reduce_perf` of nccl-tests with checks of the results."""

    finds = "wrong results, or low bandwidth, of collectives between the node's GPUs"
    stages = EXCLUSIVE
    cost = 60.0
    timeout = 600.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia" and (node.accelerators or 0) > 1

    async def observe(self, probe: Probe, node: Node) -> str:
        sizes = ("-b", "16M", "-e", "16G", "-f", "4", "-c", "1")
        return (await probe.run("all_reduce_perf", *sizes, "-g", str(node.accelerators), timeout=590.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, _ = printed(text)
        rows = [match for line in body.splitlines() if (match := _ROW.fullmatch(line))]
        bounds = _BOUNDS.search(body)
        if not rows or bounds is None:
            raise InconclusiveError(f"all_reduce_perf: {body[-200:]}")
        wrong = [row for row in rows if {row[3], row[5]} - {"0", "N/A"}]
        if wrong and bounds[2] == "FAILED":
            return [Symptom(fault="deep.nccl_wrong", evidence="; ".join(row[0].strip() for row in wrong))]
        baseline = _baseline(node, body)
        for row in rows:
            if baseline is not None and int(row[1]) == baseline.payload_gib * 2**30:
                least = baseline.busbw * (1 - limit("below_baseline_percent") / 100)
                if max(float(row[2]), float(row[4])) < least:
                    evidence = f"{row[2]} GB/s of bus bandwidth, a healthy node has {baseline.busbw}"
                    return [Symptom(fault="deep.nccl_slow", evidence=evidence)]
        return []

    def measure(self, text: str, node: Node) -> list[Measurement]:
        version = _version(text)
        rows = [match for line in text.splitlines() if (match := _ROW.fullmatch(line))]
        if version is None or not rows:
            return []
        largest = max(rows, key=lambda row: int(row[1]))
        return [
            Measurement(
                test=self.name(),
                instance_type=node.instance_type,
                nodes=1,
                payload=int(largest[1]),
                library=f"nccl {version}",
                speed=max(float(largest[2]), float(largest[4])),
                fault="deep.nccl_slow",
            )
        ]


def _version(body: str) -> str | None:
    match = _VERSION.search(body)
    if match is None:
        return None
    number = int(match[2] or 0)  # 22707 is 2.27.7
    return match[1] or f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _baseline(node: Node, body: str) -> Baseline | None:
    version = _version(body)
    return next((b for b in baselines() if b.instance_type == node.instance_type and b.nccl == version), None)
