"""What is kept of every node that is taken out, in a directory or a bucket, and can be sent to the maker's support.

`evidence/<case>/`: incident.json (finding with its evidence, decision), node.json (the node as its fleet described it),
history.json (what was done before on this node or board), support.txt (the letter).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from paceline.clients.object_store import ObjectStore
from paceline.heal.decide import Decision
from paceline.heal.fleets.base import Node
from paceline.spec.errors import StorageError
from paceline.spec.healing import Case, Remedy
from paceline.spec.health import Fault, Finding


def bundle(
    store: ObjectStore,
    *,
    case: Case,
    node: Node,
    finding: Finding,
    fault: Fault,
    decision: Decision,
    history: Sequence[Remedy],
) -> str:
    """Write the bundle of `case` and return its URI. Writing it again replaces it. StorageError when it cannot be."""
    root = f"evidence/{case.id}"
    before = [remedy.model_dump(mode="json") for remedy in history if _related(remedy, finding)]
    incident = {
        "case": case.model_dump(mode="json"),
        "finding": finding.model_dump(mode="json"),
        "fault": fault.model_dump(mode="json"),
        "decision": asdict(decision),
    }
    files = {
        "incident.json": _json(incident),
        "node.json": _json({"name": node.name, "machine": node.machine, "boot": node.boot, "busy": node.busy}),
        "history.json": _json(before),
        "support.txt": _letter(case, node, finding, fault, len(before)),
    }
    try:
        for name, content in files.items():
            store.put(f"{root}/{name}", content.encode())
    except OSError as cause:
        raise StorageError(f"{store.uri}/{root}: {cause.strerror}", "make room, or give another --evidence") from cause
    return f"{store.uri}/{root}"


def _related(remedy: Remedy, finding: Finding) -> bool:
    board = finding.device.serial if finding.device else None
    return remedy.node == finding.node or (board is not None and remedy.board == board)


def _letter(case: Case, node: Node, finding: Finding, fault: Fault, before: int) -> str:
    device = finding.device
    part = f"{device.kind} {device.index}, serial {device.serial or 'unknown'}" if device else "the node"
    lines = [
        f"Machine {node.machine or 'unknown'} ({node.name}): {fault.code} {fault.name} on {part}.",
        f"First seen {finding.time:%F %T} UTC by check {finding.check}.",
        f"Action: {case.action.name.lower()}, because {case.reason}.",
        f"Actions on this node or board before: {before}.",
        "Sources: " + "; ".join(fault.sources),
        "",
        finding.evidence,
    ]
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"
