"""What a class of faults is: one file in faults/, one subclass of FaultClass, named after the file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from paceline.chaos.field import Field


class Leg(StrEnum):
    """The runs that carry the faults. What each consists of is in legs.py."""

    FLEET = "fleet"
    REPLICAS = "replicas"
    BARE = "bare"


class FaultClass(ABC):
    """One way in which things break. `strike` breaks a run for real, by what can be done to it from outside or by a
    callback, never by a switch in the code that is tested.

    `breaks` and `then` are one sentence each: what is broken, and what should come of it. `signs` are the kinds of
    events that count as its detection; there are none where training must not even notice. `heals` says that a new
    generation is needed, `patience` how many seconds the run has for that.
    """

    leg: ClassVar[Leg] = Leg.FLEET
    breaks: ClassVar[str]
    then: ClassVar[str]
    signs: ClassVar[tuple[str, ...]] = ("fault.detected",)
    heals: ClassVar[bool] = True
    patience: ClassVar[float] = 60.0

    @classmethod
    def name(cls) -> str:
        """That of its file: `worker_kill`."""
        return cls.__module__.rpartition(".")[2]

    @abstractmethod
    def strike(self, field: Field, rng: Random) -> None:
        """Break something, as `rng` chooses. What lasts is over when this returns; what is dead is raised again by
        the field."""
