"""What healer and nodes tell each other: an incident as it is kept on a node's own object, orders, and answers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from paceline.spec.base import Record
from paceline.spec.health import Action, Device, Finding, Result
from paceline.spec.names import MEETING_PORT


class Phase(StrEnum):
    """How far an incident is. Every phase may be entered again after a restart of the healer."""

    DRAINING = "draining"  # out of service, until nothing runs there and the evidence is kept
    ACTING = "acting"  # the action was ordered; until the node is back
    TESTING = "testing"  # requalification, rung by rung
    ISOLATED = "isolated"  # out until a person readmits it


class Rung(StrEnum):
    """What a node must pass to come back, in this order: the less it takes, the sooner."""

    SINGLE = "single"  # the node alone
    PAIR = "pair"  # with one proven node
    MULTI = "multi"  # with several


class Case(Record):
    """One incident of one node. The node's own object holds it until it is closed, so that a healer that starts anew
    goes on where the last one was.

    `finding` is why it was opened, without its evidence (that is in the bundle); None for a node that joined and has
    shown no fault yet. `joined`: it has never been in service, so that it is not missed. `step` counts the actions,
    from 0; `acted`: the present one was ordered. `boot` and `machine` are the node's before it: they tell whether it
    has happened. `since` is when the present phase or rung began; `tries` counts the tests of the rung, `peers` are
    those of the present one.
    """

    id: str
    node: str
    finding: Finding | None = None
    action: Action
    reason: str
    opened: datetime
    phase: Phase
    since: datetime
    joined: bool = False
    step: int = 0
    acted: bool = False
    boot: str | None = None
    machine: str | None = None
    rung: Rung | None = None
    tries: int = 0
    peers: tuple[str, ...] = ()

    @property
    def order_id(self) -> str:
        """Of what its agent is asked now: the same until the answer is used, so that nothing is done twice."""
        return f"{self.id}.{self.step}" + (f".{self.rung}.{self.tries}" if self.rung else "")


class Remedy(Record):
    """What was done once about a fault, or that it was counted. `board` is the serial number of the device that it
    was about: it is remembered when the board comes back in another machine. `closed` is None while it lasts."""

    id: str
    node: str
    board: str | None
    fault: str
    action: Action
    time: datetime
    closed: datetime | None = None


class Meeting(Record):
    """Where the nodes of a test find each other: their names, the one that is tested first, and its address."""

    nodes: tuple[str, ...]
    host: str
    port: int = MEETING_PORT


class Order(Record):
    """What a node's agent is asked to do: reset `device`, or run the tests of `rung` with `peers`, at `meeting`."""

    id: str
    reset: Device | None = None
    rung: Rung | None = None
    peers: tuple[str, ...] = ()
    meeting: Meeting | None = None


class Measurement(Record):
    """A speed that a test measured, GB/s (10^9 bytes) of bus bandwidth as nccl-tests defines it. Only what agrees in
    everything but the speed may be compared. `fault` is what it means when it is too low, `detail` is for people."""

    test: str
    instance_type: str | None = None
    nodes: int
    payload: int  # bytes
    library: str
    speed: float
    fault: str
    detail: str = ""


class Answer(Record):
    """What became of the order of that id. `findings` are the checks that did not pass."""

    id: str
    result: Result
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
