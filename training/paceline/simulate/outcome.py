"""What came of a simulation."""

from __future__ import annotations

from paceline.spec.base import Record
from paceline.spec.events import Activity


class Costs(Record):
    """In the currency of the given price: of all nodes, and of that what went into training the job's nodes did."""

    whole: float
    productive: float


class Outcome(Record):
    """`ledger` is in microseconds of the job and adds up to the simulated time. Means are None where nothing happened.

    `detect_seconds` is the mean from a fault to its detection, `recovery_seconds` that to the job's next step,
    `repair_seconds` that of an incident of a node until it was back in service. `false_actions` took a node that had
    nothing. `most_out` nodes were out of service at once, `mean_out` on average. `wall_seconds` is how long the
    simulation took.
    """

    goodput: float
    ledger: dict[Activity, int]
    interruptions: int
    by_cause: dict[str, int]
    detect_seconds: float | None
    recovery_seconds: float | None
    repair_seconds: float | None
    actions: dict[str, int]
    false_actions: int
    most_out: int
    mean_out: float
    isolated: int
    waited_seconds: float
    costs: Costs | None
    simulated_seconds: float
    wall_seconds: float
