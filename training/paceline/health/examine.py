"""Run a check and keep it honest: whatever goes wrong with the check itself is `unknown`, never `fail`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from paceline.catalog.faults import faults
from paceline.health.base import Check, InconclusiveError, Node, Probe, Symptom
from paceline.spec.healing import Measurement
from paceline.spec.health import Finding, Result

_EVIDENCE = 4096


async def examine(check: Check, probe: Probe, node: Node) -> list[Finding]:
    """What `check` says about `node` now: its failures, or one finding that says pass or unknown."""
    return (await measure(check, probe, node))[0]


async def measure(check: Check, probe: Probe, node: Node) -> tuple[list[Finding], list[Measurement]]:
    """As `examine`, and the speeds that it measured where the result is known."""
    measurements: list[Measurement] = []
    return await _examine(check, probe, node, measurements), measurements


async def _examine(check: Check, probe: Probe, node: Node, measurements: list[Measurement]) -> list[Finding]:
    now = datetime.now(UTC)
    try:
        text = await asyncio.wait_for(check.observe(probe, node), check.timeout)
        symptoms = check.parse(text, node)
        measurements += check.measure(text, node)
        boot = _boot_time(probe, now) if any(s.uptime is not None for s in symptoms) else now
    except TimeoutError:
        return [_finding(check, node, now, Result.UNKNOWN, f"no result within {check.timeout:g} s")]
    except InconclusiveError as why:
        return [_finding(check, node, now, Result.UNKNOWN, str(why))]
    except Exception as bug:  # noqa: BLE001 - a parser that stumbles over what it never saw must not take a node out
        return [_finding(check, node, now, Result.UNKNOWN, f"{type(bug).__name__}: {bug}")]
    if not symptoms:
        return [_finding(check, node, now, Result.PASS, "")]
    return [_failure(check, node, now if s.uptime is None else boot + timedelta(seconds=s.uptime), s) for s in symptoms]


def _boot_time(probe: Probe, now: datetime) -> datetime:
    uptime = probe.read("/proc/uptime").split()
    return now - timedelta(seconds=float(uptime[0]))


def _failure(check: Check, node: Node, time: datetime, symptom: Symptom) -> Finding:
    if symptom.fault not in faults():
        return _finding(check, node, time, Result.UNKNOWN, f"{symptom.fault} is not in the catalog: {symptom.evidence}")
    return Finding(
        node=node.name,
        check=check.name(),
        result=Result.FAIL,
        time=time,
        fault=symptom.fault,
        device=symptom.device,
        evidence=symptom.evidence[:_EVIDENCE],
    )


def _finding(check: Check, node: Node, time: datetime, result: Result, evidence: str) -> Finding:
    return Finding(node=node.name, check=check.name(), result=result, time=time, evidence=evidence[:_EVIDENCE])
