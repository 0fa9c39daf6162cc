"""How many nodes should stand by: enough for all that fail while one is being replaced."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.plan.closed_forms import spares_for
from paceline.spec.health import Action

_DAY = 86400.0


def spares_wanted(nodes: int, policy: Policy) -> int:
    """For a fleet of `nodes`, at the policy's failure rate, and with the time that a replacement may take."""
    per_second = policy.failures_per_1000_node_days / 1000 / _DAY
    return spares_for(nodes, per_second * policy.return_within[Action.REPLACE], policy.spare_confidence)


def spares(nodes: Sequence[Node]) -> int:
    """How many stand by: healthy, tested and without a job."""
    return sum(1 for node in nodes if node.proven)
