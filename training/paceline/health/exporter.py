"""What the agent shows to Prometheus, and what it costs itself."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from paceline.journal.exposition import Sample, exposition
from paceline.spec.health import Result
from paceline.spec.metrics import (
    AGENT_CPU_SECONDS,
    AGENT_MEMORY_BYTES,
    AGENT_STRETCH,
    CHECK_RESULT,
    CHECK_SECONDS,
    CHECK_TIMESTAMP,
    FINDINGS,
    UNFIT,
)


@dataclass(slots=True)
class Measured:
    """What a check said last, how long it took, and when it ended (seconds, and seconds since the epoch)."""

    result: Result
    seconds: float
    ended: float


@dataclass(slots=True)
class Measurements:
    """What the agent of one node counts."""

    node: str
    checks: dict[str, Measured] = field(default_factory=dict)
    findings: Counter[str] = field(default_factory=Counter)
    unfit: bool = False
    stretch: float = 1.0

    def render(self) -> str:
        """All of it in Prometheus' text format."""
        checks = sorted(self.checks.items())
        families: dict[str, Iterable[Sample]] = {
            CHECK_RESULT: [({"check": n, "result": r}, float(c.result is r)) for n, c in checks for r in Result],
            CHECK_SECONDS: [({"check": name}, check.seconds) for name, check in checks],
            CHECK_TIMESTAMP: [({"check": name}, check.ended) for name, check in checks],
            FINDINGS: [({"fault": fault}, float(count)) for fault, count in sorted(self.findings.items())],
            UNFIT: [({}, float(self.unfit))],
            AGENT_CPU_SECONDS: [({}, cpu_seconds())],
            AGENT_MEMORY_BYTES: [({}, float(resident_bytes()))],
            AGENT_STRETCH: [({}, self.stretch)],
        }
        return exposition(families, node=self.node)


def cpu_seconds() -> float:
    """Processor time of this process and of the commands that it has waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def resident_bytes() -> int:
    """Memory of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
