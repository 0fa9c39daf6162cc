"""How often to save: what loses least, if the tier can take that in. Pure. The planner predicts
by it, and runs follow it.

Every failure counts, also those that memory survives: the interval is the shortest one that makes sense.
"""

from __future__ import annotations

import math

from paceline.catalog.failure_rates import Rate
from paceline.plan.closed_forms import young_daly

_ACCELERATORS_OF_A_NODE = 8
_DAYS = 1000 * 86400.0
_LEAST_UPLOADS = 2.0  # storage also serves data, and other runs: it takes checkpoints in half of the time at most


def failures_per_second(accelerators: int, rate: Rate) -> float:
    """How often any node of a run on so many accelerators fails; a node of the table has 8."""
    return accelerators / _ACCELERATORS_OF_A_NODE * rate.per_1000_node_days / _DAYS


def interval(stall: float, absorb: float, per_second: float) -> float:
    """Seconds between two checkpoints of which each blocks training for `stall` seconds and keeps storage busy for
    `absorb`, where nodes fail `per_second`."""
    return max(young_daly(stall, per_second), _LEAST_UPLOADS * absorb)


def steps_between(seconds: float, step_seconds: float) -> int:
    """The smallest whole number of steps that takes at least so long."""
    return max(1, math.ceil(seconds / step_seconds))
