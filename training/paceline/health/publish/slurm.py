"""Tell Slurm: a node that is unfit is drained, with the fault as the reason.

Drained and not down: what runs there may still be saving itself. The agent takes a node out; it never gives it back.
The healer does, when the node has passed its tests.
"""

from __future__ import annotations

import asyncio
import json

from paceline.clients.slurm import Slurm
from paceline.health.standing import Standing
from paceline.spec.names import ANNOTATION_FINDINGS

_OUT = {"DRAIN", "DOWN", "FAIL"}


class SlurmPublisher:
    """The node `node` of the cluster behind `client`."""

    name = "slurm"

    def __init__(self, client: Slurm, node: str) -> None:
        self._client, self._node = client, node
        self._drained_for: object = None

    async def publish(self, standing: Standing) -> None:
        """See Publisher."""
        await asyncio.to_thread(self._publish, standing)

    def _publish(self, standing: Standing) -> None:
        self._client.set_comment(self._node, json.dumps({ANNOTATION_FINDINGS: standing.noted()}))
        unfit = standing.unfit()
        if unfit is not None and unfit != self._drained_for and not _OUT & set(self._client.node(self._node).states):
            self._client.set_state(self._node, "DRAIN", f"paceline: {unfit.fault}")
        self._drained_for = unfit
