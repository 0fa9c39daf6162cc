"""Tell Slurm: a node that is unfit is drained, with the fault as the reason.

Drained and not down: what runs there may still be saving itself. The agent takes a node out; it never gives it back.
The healer does, when the node has passed its tests.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from paceline.clients.slurm import Slurm, SlurmNode
from paceline.health.publish.notes import open_order
from paceline.health.standing import Standing
from paceline.spec.healing import Answer, Order
from paceline.spec.names import ANNOTATION_ANSWER, ANNOTATION_FINDINGS, ANNOTATION_ORDER

_OUT = {"DRAIN", "DOWN", "FAIL"}


class SlurmPublisher:
    """The node `node` of the cluster behind `client`."""

    name = "slurm"

    def __init__(self, client: Slurm, node: str) -> None:
        self._client, self._node = client, node
        self._drained_for: object = None
        self._writing = threading.Lock()

    async def publish(self, standing: Standing) -> None:
        """See Publisher."""
        await asyncio.to_thread(self._publish, standing)

    async def order(self) -> Order | None:
        """See Desk."""
        node = await asyncio.to_thread(self._client.node, self._node)
        return open_order(_parsed(node.extra).get(ANNOTATION_ORDER), _parsed(node.comment).get(ANNOTATION_ANSWER))

    async def answer(self, answer: Answer) -> None:
        """See Desk."""
        note = answer.model_dump(mode="json", exclude_none=True)
        await asyncio.to_thread(self._note, ANNOTATION_ANSWER, note)

    def _publish(self, standing: Standing) -> None:
        node = self._note(ANNOTATION_FINDINGS, standing.noted())
        unfit = standing.unfit()
        if unfit is not None and unfit != self._drained_for and not _OUT & set(node.states):
            self._client.set_state(self._node, "DRAIN", f"paceline: {unfit.fault}")
        self._drained_for = unfit

    def _note(self, key: str, value: Any) -> SlurmNode:
        """Write one of the agent's notes into the node's comment, beside the others; the node as it was."""
        with self._writing:
            node = self._client.node(self._node)
            notes = {**_parsed(node.comment), key: value}
            self._client.set_comment(self._node, json.dumps(notes, separators=(",", ":")))
        return node


def _parsed(note: str) -> dict[str, Any]:
    try:
        notes = json.loads(note) if note else {}
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}
