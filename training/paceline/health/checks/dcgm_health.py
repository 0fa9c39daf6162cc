"""What DCGM's background watches have seen. The watches are whoever's who set them (`dcgmi health -s a`): this only
asks, so that it fights with no other agent for DCGM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from paceline.catalog.faults import patterns
from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device


class DcgmHealth(Check):
    """`dcgmi health -c -j`."""

    finds = "what DCGM's health watches report"
    stages = QUICK
    cost = 1.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        return (await probe.run("dcgmi", "health", "-c", "-j", timeout=20.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, _ = printed(text)
        try:
            report = json.loads(body)["body"]
            overall = report["Overall Health"]["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InconclusiveError(f"dcgmi health: {body[:200]}") from None
        if overall == "Healthy":
            return []
        if overall not in ("Warning", "Failure"):
            raise InconclusiveError(f"dcgmi health: overall health is {str(overall)[:40]}")
        found = [symptom for message, gpu in _messages(report, None) for symptom in _symptoms(message, gpu)]
        if not found:
            raise InconclusiveError(
                f"dcgmi health: {overall}, for a reason that the catalog does not have: {body[:200]}"
            )
        return found


def _messages(tree: Any, gpu: int | None) -> Iterator[tuple[str, int | None]]:
    """All values of the tree, each with the GPU under which it stands."""
    if not isinstance(tree, dict):
        return
    for key, node in tree.items():
        if not isinstance(node, dict):
            continue
        if isinstance(value := node.get("value"), str):
            yield value, gpu
        children = node.get("children")
        if key == "GPU" and isinstance(children, dict):
            for number, child in children.items():
                yield from _messages({number: child}, int(number) if number.isdecimal() else None)
        else:
            yield from _messages(children, gpu)


def _symptoms(message: str, gpu: int | None) -> Iterator[Symptom]:
    for expression, fault in patterns("dcgm"):
        if expression.search(message):
            device = Device(kind="gpu", index=gpu) if gpu is not None else None
            yield Symptom(fault=fault.code, device=device, evidence=message)
            return
