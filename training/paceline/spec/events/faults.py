"""Events of what breaks, how it is judged, and what is done about it."""

from __future__ import annotations

from typing import Literal

from paceline.spec.base import Record
from paceline.spec.events.base import Event

EVERYBODY = "all nodes"


class FaultInjected(Event):
    """A test, a demo or a chaos run broke something on purpose; written just before the blow."""

    kind: Literal["fault.injected"] = "fault.injected"
    fault: str
    target: str


class FaultDetected(Event):
    """`target` is a node, or EVERYBODY where none can be named; `traceback` is that of a worker's own exception."""

    kind: Literal["fault.detected"] = "fault.detected"
    fault: str
    target: str
    evidence: str
    traceback: str | None = None


class RankStanding(Record):
    """Where a rank was when nothing moved. `collective` is the one that it waited in, with number and group if its
    flight recorder knew them, `process_state` the kernel's letter for its process; None where it is not known or waited
    in none."""

    rank: int
    node: str
    step: int
    phase: str
    process_state: str | None = None
    collective: str | None = None


class HangJudged(Event):
    """Nothing moved for `idle_seconds`, and why. `guilty_node` and `guilty_rank` are None where nobody can be named;
    `evidence` is the path of the file with the stacks of all ranks; their flight records lie beside it."""

    kind: Literal["hang.judged"] = "hang.judged"
    fault_class: str
    guilty_node: str | None = None
    guilty_rank: int | None = None
    reason: str
    idle_seconds: float
    threshold_seconds: float
    standings: tuple[RankStanding, ...]
    evidence: str | None = None


class CorruptionJudged(Event):
    """Something about `step` was suspicious: about the `state` before it, or the `work` that it did. What became of it:
    `convicted` means that results are wrong, because of `guilty_ranks` or, where there are none, of somebody who cannot
    be named, and that the run goes back to the state after `good_step`; `reproduced` that the step gave the same
    again; `irreproducible` that no rank agrees even with itself; `unexamined` that no snapshot was there to take the
    step again from."""

    kind: Literal["corruption.judged"] = "corruption.judged"
    step: int
    subject: Literal["state", "work"]
    suspicion: str
    outcome: Literal["convicted", "reproduced", "irreproducible", "unexamined"]
    guilty_ranks: tuple[int, ...] = ()
    reason: str
    good_step: int


class SentinelPaced(Event):
    """The state is checked every `after` steps, no longer every `before`, as a check takes `check_seconds` and a step
    `step_seconds`, the means of all ranks."""

    kind: Literal["sentinel.paced"] = "sentinel.paced"
    before: int
    after: int
    check_seconds: float
    step_seconds: float


class StragglerFound(Event):
    """Rank `slow_rank` needs `factor` times as long as its peers (their median) for its own work in `phase`, without
    what it waits for others, and has for `steps` steps."""

    kind: Literal["straggler.found"] = "straggler.found"
    slow_rank: int
    slow_node: str
    phase: Literal["data", "compute"]
    factor: float
    seconds: float
    peers_seconds: float
    steps: int


class FaultClassified(Event):
    """`fault_class` is the class of the policy catalog: node_lost, worker_failed, ..."""

    kind: Literal["fault.classified"] = "fault.classified"
    fault: str
    target: str
    fault_class: str


class ActionDecided(Event):
    kind: Literal["action.decided"] = "action.decided"
    action: str
    target: str
    reason: str


class ActionStarted(Event):
    kind: Literal["action.started"] = "action.started"
    action: str
    target: str


class ActionFinished(Event):
    kind: Literal["action.finished"] = "action.finished"
    action: str
    target: str
    outcome: Literal["done", "failed"]
    seconds: float


FaultEvent = (
    FaultInjected
    | FaultDetected
    | HangJudged
    | CorruptionJudged
    | SentinelPaced
    | StragglerFound
    | FaultClassified
    | ActionDecided
    | ActionStarted
    | ActionFinished
)
