"""Which fault comes when: a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.registry import chosen
from paceline.spec.base import Record

# One launcher replaces three coordinators that die one soon after the other, as they do where no other class is struck.
# Then the run is stopped, and goes on under another.
COORDINATORS_PER_PART = 3
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
        losses = sum(s.fault.name() == _COORDINATOR_LOSS for s in part)
        if each.fault.name() == _COORDINATOR_LOSS and losses == COORDINATORS_PER_PART:
            yield part
            part = []
        part.append(each)
    if part:
        yield part
