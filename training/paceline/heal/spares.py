"""How many nodes should stand by: enough for all that fail while one is being replaced."""

from __future__ import annotations

import math
from collections.abc import Sequence

from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.spec.health import Action

_DAY = 86400.0


def spares_for(nodes: int, probability: float, confidence: float) -> int:
    """The smallest k with P(X <= k) >= `confidence`, X binomial(`nodes`, `probability`).

    `probability` is that of one node being out at a given time: its failure rate times the time to replace it. The rule
    is ByteRobust's (arXiv:2509.16293, section 6: the P99 of simultaneous failures).
    """
    if not 0 <= probability < 1:
        return nodes
    # the logarithm of each term, since (1 - p)^n underflows for large fleets
    odds = math.log(probability / (1 - probability)) if probability else -math.inf
    log_term, below = nodes * math.log1p(-probability), 0.0
    for k in range(nodes + 1):
        below += math.exp(log_term)
        if below >= confidence or log_term == -math.inf:
            return k
        log_term += odds + math.log((nodes - k) / (k + 1)) if k < nodes else -math.inf
    return nodes


def spares_wanted(nodes: int, policy: Policy) -> int:
    """For a fleet of `nodes`, at the policy's failure rate, and with the time that a replacement may take."""
    per_second = policy.failures_per_1000_node_days / 1000 / _DAY
    return spares_for(nodes, per_second * policy.return_within[Action.REPLACE], policy.spare_confidence)


def spares(nodes: Sequence[Node]) -> int:
    """How many stand by: healthy, tested and without a job."""
    idle = [node for node in nodes if not node.busy]  # few of thousands
    return sum(1 for node in idle if node.proven)
