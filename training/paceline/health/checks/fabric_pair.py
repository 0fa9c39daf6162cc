"""Two nodes exchange data, each accelerator with its counterpart: a rail that is slow or wrong is seen by itself."""

from __future__ import annotations

from paceline.health.base import Node
from paceline.health.fabric import FabricCheck


class FabricPair(FabricCheck):
    """Both directions at once, all rails at once."""

    finds = "wrong results, or low bandwidth, between the accelerators of two nodes, rail by rail"
    mode = "exchange"

    def applies(self, node: Node) -> bool:
        return super().applies(node) and node.meeting is not None and len(node.meeting.nodes) == 2
