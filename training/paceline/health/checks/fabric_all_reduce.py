"""A sum over all accelerators of several nodes: right results; its speed is compared with the fleet's."""

from __future__ import annotations

from paceline.health.fabric import FabricCheck


class FabricAllReduce(FabricCheck):
    """As many ranks as there are accelerators, each with the same payload."""

    finds = "wrong results, or low bandwidth, of sums over several nodes"
    mode = "all-reduce"
