"""DCGM's diagnostics, which the deep checks run at different levels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

_ROOTS = ("DCGM Diagnostic", "DCGM GPU Diagnostic")  # DCGM 4, DCGM 3
_GPU = re.compile(r"\bGPU (\d+)\b")


class Diagnostic(Check):
    """`dcgmi diag -r LEVEL -j`. What a test warns of is a row of the catalog; a test that failed without saying
    why is unknown."""

    level: ClassVar[int]
    stages = EXCLUSIVE

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        return (await probe.run("dcgmi", "diag", "-r", str(self.level), "-j", timeout=self.timeout - 5)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, _ = printed(text)
        try:
            report = json.loads(body)
            categories = next(report[root] for root in _ROOTS if root in report)["test_categories"]
            tests = [test for category in categories for test in category["tests"]]
            results = [(test["name"], result) for test in tests for result in _results(test)]
            statuses = {str(result["status"]).lower() for _, result in results}
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
            raise InconclusiveError(f"dcgmi diag: {body[:200]}") from None
        if not results or not statuses <= {"pass", "fail", "warn", "skip", "not run"}:
            raise InconclusiveError(f"dcgmi diag: {', '.join(sorted(statuses))[:200] or 'no result'}")
        found, silent = [], []
        for name, result in results:
            if str(result["status"]).lower() == "fail":
                symptoms = list(_symptoms(name, result))
                found += symptoms
                silent += [] if symptoms else [name]
        if silent and not found:
            raise InconclusiveError(f"dcgmi diag: {', '.join(map(str, silent))} failed without a reason")
        return found


def _results(test: Any) -> list[Any]:
    # DCGM 4 gives a summary beside the results, which may hold the only warning
    summary = test.get("test_summary")
    return [*test["results"], *([summary] if isinstance(summary, dict) and "status" in summary else [])]


def _symptoms(test: Any, result: Any) -> Iterator[Symptom]:
    warnings = result.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        if not isinstance(warning, dict) or not isinstance(warning.get("error_id"), int):
            continue
        message = str(warning.get("warning", ""))
        ids = str(result.get("entity_id", result.get("gpu_ids", "")))
        gpu = int(ids) if ids.isdecimal() else next((int(m[1]) for m in [_GPU.search(message)] if m), None)
        device = Device(kind="gpu", index=gpu) if gpu is not None else None
        yield Symptom(fault=f"dcgm.{warning['error_id']}", device=device, evidence=f"{test}: {message}")
