"""What is simulated."""

from __future__ import annotations

from pydantic import Field

from paceline.catalog.failure_rates import FailureRates, Recovery
from paceline.plan.closed_forms import by_kind
from paceline.spec.base import Record

ACCELERATORS_PER_NODE = 8  # the unit of the published rates


class Scenario(Record):
    """One job on `nodes` nodes and its spares, for `days` days.

    `per_1000_node_days` is the failure rate of a node without a history; what the other fields of the failure model do
    by default is nothing: no switch fails, all nodes are alike, no healthy node is accused. `replace` is the least and
    the most that another machine takes to come, and `test_seconds` how long one rung of requalification takes.
    """

    nodes: int = Field(ge=1)
    days: float = Field(gt=0)
    spares: int = Field(ge=0)
    per_1000_node_days: float = Field(gt=0)
    recovery: Recovery
    replace: tuple[float, float]
    seed: int
    correlated: float = Field(default=0.0, ge=0, lt=1, description="share of failures that take all behind a switch")
    infant_factor: float = Field(default=1.0, gt=0, description="failure rate of a new machine over that of an old one")
    infant_days: float = Field(default=0.0, ge=0, description="how long a machine is new")
    repeat_factor: float = Field(default=1.0, ge=1, description="by how much each incident raises a node's rate")
    false_alarms: float = Field(default=0.0, ge=0, description="healthy nodes accused per 1000 node-days")
    node_hour_price: float | None = Field(default=None, ge=0, description="in whatever currency; None: no costs")
    test_seconds: float = 900.0

    def expected_goodput(self, table: FailureRates) -> float:
        """What the closed form says of it, which knows no want of spares and no faults that come together."""
        return by_kind(self.nodes, self.per_1000_node_days, self.recovery, table, false_alarms=self.false_alarms)
