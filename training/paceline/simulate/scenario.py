"""What is simulated."""

from __future__ import annotations

from pydantic import Field

from paceline.spec.base import Record

ACCELERATORS_PER_NODE = 8  # the unit of the published rates


class Scenario(Record):
    """One job on `nodes` nodes and its spares, for `days` days. `rates` and `recovery` name rows of the table of
    failure rates; `test_seconds` is how long one rung of requalification takes."""

    nodes: int = Field(ge=1)
    days: float = Field(gt=0)
    spares: int = Field(ge=0)
    rates: str
    recovery: str
    seed: int
    test_seconds: float = 900.0
