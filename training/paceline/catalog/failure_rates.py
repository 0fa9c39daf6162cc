"""How often nodes fail, of what, and how long it takes to recover (failure_rates.yaml)."""

from __future__ import annotations

from functools import cache
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.tables import read_table
from paceline.spec.base import Record

Kind = Literal["explicit", "hang", "silent"]
KINDS: tuple[Kind, ...] = ("explicit", "hang", "silent")

Amount = Annotated[float, Field(ge=0)]
Likely = Annotated[tuple[Amount, ...], Field(min_length=1)]
"""Seconds: values that are equally likely. One value is a constant."""


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


class Correlated(Record):
    """A failure of all `nodes` behind one switch, and its share of all failures."""

    source: str
    share: float
    nodes: int
    cause: FailureClass


class RepeatOffenders(Record):
    """Mean hours to a node's first incident, and to number `incidents`."""

    source: str
    first_hours: float
    last_hours: float
    incidents: int

    @property
    def factor(self) -> float:
        """By how much each incident raises the node's failure rate, when all raise it alike."""
        return float((self.first_hours / self.last_hours) ** (1 / (self.incidents - 1)))


class FalseAlarms(Record):
    """How often a healthy node is accused, per 1000 node-days."""

    source: str
    per_1000_node_days: float
    cause: FailureClass


class Course(Record):
    """What one interruption takes, in seconds: until it is known what failed, from there to the next step, and how much
    older than the newest checkpoint a state must be to be trusted."""

    detect: Likely
    restart: Likely
    back: Amount = 0


class Tier(Record):
    """Checkpoints `every` so many seconds of training. One blocks training for `write`; a start takes `load` longer."""

    every: float = Field(gt=0)
    write: Amount
    load: Amount


class Recovery(Record):
    """How a job recovers. `source` None: a case for comparison. `memory` None: nothing is kept there."""

    meaning: str
    source: str | None
    explicit: Course
    hang: Course
    silent: Course
    memory: Tier | None
    durable: Tier

    def course(self, kind: Kind) -> Course:
        """What an interruption of that kind takes."""
        return {"explicit": self.explicit, "hang": self.hang, "silent": self.silent}[kind]

    @property
    def nearest(self) -> Tier:
        """The tier that state usually comes from."""
        return self.memory or self.durable

    @property
    def stall(self) -> float:
        """Seconds that checkpoints block, per second of training."""
        return sum(tier.write / tier.every for tier in (self.memory, self.durable) if tier is not None)

    def cost(self, kind: Kind) -> float:
        """The mean seconds that one interruption costs: standing, and work that is done again."""
        course, tier = self.course(kind), self.nearest
        return fmean(course.detect) + fmean(course.restart) + tier.load + course.back + tier.every / 2


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
    correlated: Correlated
    repeat_offenders: RepeatOffenders
    false_alarms: FalseAlarms
    recoveries: dict[str, Recovery]
    published: tuple[Published, ...]


@cache
def failure_rates() -> FailureRates:
    """The table."""
    return FailureRates.model_validate(read_table("failure_rates"))
