"""The agent's metrics for Prometheus: the text format, and an HTTP server that gives it out.

Format: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from paceline.spec.health import Result
from paceline.spec.metrics import (
    AGENT_CPU_SECONDS,
    AGENT_MEMORY_BYTES,
    AGENT_STRETCH,
    CHECK_RESULT,
    CHECK_SECONDS,
    CHECK_TIMESTAMP,
    FINDINGS,
    METRICS,
    UNFIT,
)

_REQUEST_SECONDS = 5.0
_HEADERS = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close"


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
        """All of it in the text format."""
        lines: list[str] = []

        def family(name: str, *samples: tuple[dict[str, str], float]) -> None:
            metric = METRICS[name]
            lines.extend((f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"))
            for labels, value in samples:
                said = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"node": self.node, **labels}.items())
                lines.append(f"{name}{{{said}}} {value:.15g}")

        checks = sorted(self.checks.items())
        results = [({"check": n, "result": r}, float(c.result is r)) for n, c in checks for r in Result]
        family(CHECK_RESULT, *results)
        family(CHECK_SECONDS, *[({"check": name}, check.seconds) for name, check in checks])
        family(CHECK_TIMESTAMP, *[({"check": name}, check.ended) for name, check in checks])
        family(FINDINGS, *[({"fault": fault}, float(count)) for fault, count in sorted(self.findings.items())])
        family(UNFIT, ({}, float(self.unfit)))
        family(AGENT_CPU_SECONDS, ({}, cpu_seconds()))
        family(AGENT_MEMORY_BYTES, ({}, float(resident_bytes())))
        family(AGENT_STRETCH, ({}, self.stretch))
        return "\n".join(lines) + "\n"


def cpu_seconds() -> float:
    """Processor time of this process and of the commands that it has waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def resident_bytes() -> int:
    """Memory of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def serve(measurements: Measurements, host: str, port: int) -> asyncio.Server:
    """Give out `/metrics`. OSError when the port is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_SECONDS)
            found = head.startswith(b"GET /metrics ")
            body = (measurements.render() if found else "see /metrics\n").encode()
            status = "200 OK" if found else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\n{_HEADERS}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
