"""Tell Kubernetes: a condition of the node, and a taint that keeps new pods away from one that is unfit.

The agent takes a node out; it never gives it back. The healer does, when the node has passed its tests.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from paceline.clients.kubernetes import Kubernetes, Object, set_taint
from paceline.health.standing import Standing
from paceline.spec.names import ANNOTATION_FINDINGS, CONDITION_HEALTHY, TAINT_UNHEALTHY

_MESSAGE = 1024


class KubernetesPublisher:
    """The node `node` of the cluster behind `client`."""

    name = "kubernetes"

    def __init__(self, client: Kubernetes, node: str) -> None:
        self._client, self._node = client, node
        self._tainted_for: object = None

    async def publish(self, standing: Standing) -> None:
        """See Publisher."""
        await asyncio.to_thread(self._publish, standing)

    def _publish(self, standing: Standing) -> None:
        node = self._client.node(self._node)
        self._client.set_condition(self._node, _condition(standing, node, datetime.now(UTC)))
        self._client.annotate_node(self._node, ANNOTATION_FINDINGS, json.dumps(standing.noted()))
        unfit = standing.unfit()
        if unfit is not None and unfit != self._tainted_for and unfit.fault is not None:
            value = unfit.fault
            self._client.edit_node(self._node, lambda node: set_taint(node, TAINT_UNHEALTHY, value, "NoSchedule"))
        self._tainted_for = unfit


def _condition(standing: Standing, node: Object, now: datetime) -> dict[str, Any]:
    failures, unknown = standing.failures(), standing.unknown()
    if standing.unfit() is not None:
        status, reason = "False", "Unfit"
    elif unknown:
        status, reason = "Unknown", "ChecksInconclusive"
    else:
        status, reason = "True", "Degraded" if failures else "ChecksPass"
    said = [f"{f.fault or f.check}: {f.evidence}" for f in (*failures, *unknown)]
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions: list[Object] = node.get("status", {}).get("conditions", [])
    before = next((c for c in conditions if c["type"] == CONDITION_HEALTHY), Object())
    return {
        "type": CONDITION_HEALTHY,
        "status": status,
        "reason": reason,
        "message": "; ".join(said)[:_MESSAGE],
        "lastHeartbeatTime": time,
        "lastTransitionTime": before.get("lastTransitionTime", time) if before.get("status") == status else time,
    }
