"""Which fault comes when: a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.registry import chosen
from paceline.spec.base import Record

# One launcher replaces a coordinator three times, and one coordinator gives up after ten errors of workers within the
# hour, as it should where nobody strikes on purpose. Then the run is stopped, and goes on under new ones.
FAULTS_PER_PART = 6
_COORDINATORS_PER_PART = 3
_COORDINATOR_LOSS = "coordinator_loss"


class Plan(Record):
    """What a chaos run is to do. `classes` are names; every class is struck as often as any other, or once more."""

    seed: int
    faults: int
    classes: tuple[str, ...]


class Scheduled(NamedTuple):
    """A fault and its number, by which its chances are drawn."""

    number: int
    fault: FaultClass

    def rng(self, seed: int) -> Random:
        """The same for the same fault of the same plan, whatever was done before."""
        return Random(f"{seed}/{self.number}/{self.fault.name()}")


def schedule(plan: Plan) -> list[Scheduled]:
    """All faults of `plan`, in rounds: each class once, in an order by chance, and again."""
    rng, order = Random(plan.seed), chosen(plan.classes)
    found: list[Scheduled] = []
    while len(found) < plan.faults:
        for fault in rng.sample(order, len(order))[: plan.faults - len(found)]:
            found.append(Scheduled(len(found), fault))
    return found


def parts(scheduled: Sequence[Scheduled], leg: Leg) -> Iterator[list[Scheduled]]:
    """The faults of `leg`, cut where the run is stopped and started again."""
    part: list[Scheduled] = []
    for each in (s for s in scheduled if s.fault.leg is leg):
        names = [s.fault.name() for s in part]
        used_up = each.fault.name() == _COORDINATOR_LOSS and names.count(_COORDINATOR_LOSS) == _COORDINATORS_PER_PART
        if used_up or len(part) == FAULTS_PER_PART:
            yield part
            part = []
        part.append(each)
    if part:
        yield part
