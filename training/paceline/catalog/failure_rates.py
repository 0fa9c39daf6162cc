"""How often nodes fail, of what, and how long it takes to recover (failure_rates.yaml)."""

from __future__ import annotations

from functools import cache
from typing import Literal

from paceline.catalog.tables import read_table
from paceline.spec.base import Record

Kind = Literal["explicit", "hang", "silent"]


class Rate(Record):
    """Failures per 1000 node-days; a node has 8 accelerators."""

    per_1000_node_days: float
    source: str


class FailureClass(Record):
    """A cause of interruptions. `count` is its weight in the mix; `fault` None: the node falls silent."""

    name: str
    count: int
    kind: Kind
    fault: str | None


class Repairs(Record):
    """Seconds, least and most."""

    source: str
    reboot: tuple[float, float]
    replace: tuple[float, float]


class Loss(Record):
    """What one interruption costs: seconds to the next step, and seconds of work that are done again."""

    down: float
    lost: float


class Recovery(Record):
    """How a job recovers. `stall` is the share of time that checkpoints take."""

    meaning: str
    explicit: Loss
    hang: Loss
    silent: Loss
    stall: float

    def loss(self, kind: Kind) -> Loss:
        """What an interruption of that kind costs."""
        return {"explicit": self.explicit, "hang": self.hang, "silent": self.silent}[kind]


class Published(Record):
    """A result of somebody else. The metrics are not the same; their names say which one it is."""

    run: str
    metric: str
    value: str
    source: str


class FailureRates(Record):
    """The whole table."""

    rates: dict[str, Rate]
    mix_source: str
    transient_share: float
    classes: tuple[FailureClass, ...]
    repairs: Repairs
    recoveries: dict[str, Recovery]
    published: tuple[Published, ...]


@cache
def failure_rates() -> FailureRates:
    """The table."""
    return FailureRates.model_validate(read_table("failure_rates"))
