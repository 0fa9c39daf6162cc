"""The shape of a run: when it was running, which generations it had, which faults ended them, how it came back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from paceline.journal.timeline import SECOND, microseconds
from paceline.spec.errors import JournalError
from paceline.spec.events import (
    EVERYBODY,
    AnyEvent,
    CheckpointRestored,
    FaultDetected,
    FaultInjected,
    GenerationOpened,
    MembershipChanged,
    RunFinished,
    RunStarted,
    StepFinished,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A time in which the run was running: from run.started to run.finished, or to the last event if it was killed."""

    started: RunStarted
    start: int
    end: int


@dataclass(kw_only=True, slots=True)
class Generation:
    """One membership of the run, in force in [begin, end).

    `is_first` says that the run did not run before it; `cause` is the fault that made it necessary, or what the
    coordinator gave as its reason.
    """

    opening: GenerationOpened
    begin: int
    end: int
    is_first: bool
    cause: str
    steps: list[StepFinished] = field(default_factory=list)
    restored: list[CheckpointRestored] = field(default_factory=list)
    detections: list[FaultDetected] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    recovery: Recovery | None = None

    @property
    def members(self) -> frozenset[str]:
        return frozenset(self.opening.ranks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """A fault that ended a generation, and the way back. Times are integer microseconds.

    `blow` is the injection, or the last sign of life of the target; `recovered` is the end of the first step after
    `resumed_step`; None where the run did not get so far. `fault_step` is the last step that
    had finished anywhere before the blow; `lost_steps` counts the finished steps that had to be done again.
    """

    fault: str
    target: str
    injected: bool
    blow: int
    detected: int
    opened: int | None
    recovered: int | None
    restored_from: Literal["memory", "manifest", "nothing"] | None
    fault_step: int
    resumed_step: int | None
    lost_steps: int | None

    @property
    def cause(self) -> str:
        """How the ledger calls it."""
        return f"{self.fault} on {self.target}"

    @property
    def detect_seconds(self) -> float:
        return (self.detected - self.blow) / SECOND

    @property
    def recovery_seconds(self) -> float | None:
        """From the blow to the end of the first new step."""
        return None if self.recovered is None else (self.recovered - self.blow) / SECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A run's windows, generations in order, and all nodes that took part or stood by."""

    windows: tuple[Window, ...]
    generations: tuple[Generation, ...]
    nodes: tuple[str, ...]

    @property
    def recoveries(self) -> list[Recovery]:
        return [g.recovery for g in self.generations if g.recovery is not None]


def history(events: Sequence[AnyEvent]) -> History:
    """Order `events` (by time, as the reader gives them) into a history. Raises JournalError without a run.started.

    A run that was stopped and resumed has a window per start; the time between is not part of the run.
    """
    windows = _windows(events)
    generations: list[Generation] = []
    for window, inside in windows:
        generations += _generations(window, inside)
    for position, generation in enumerate(generations):
        following = generations[position + 1] if position + 1 < len(generations) else None
        successor = following if following is not None and not following.is_first else None
        generation.recovery = _recovery(generation, successor, events)
        if successor is not None and generation.recovery is not None:
            successor.cause = generation.recovery.cause
    nodes = {e.node for e in events if e.node} | {node for g in generations for node in g.opening.ranks}
    return History(
        windows=tuple(window for window, _ in windows), generations=tuple(generations), nodes=tuple(sorted(nodes))
    )


def _windows(events: Sequence[AnyEvent]) -> list[tuple[Window, list[AnyEvent]]]:
    """Each window with its events; what was written before a run.started belongs to it."""
    starts = [index for index, event in enumerate(events) if isinstance(event, RunStarted)]
    if not starts:
        raise JournalError(
            "the journal has no run.started event, so there is nothing to account for",
            "look into the log of the launcher: the run ended before it began",
        )
    windows: list[tuple[Window, list[AnyEvent]]] = []
    for index, after in zip(starts, [*starts[1:], len(events)], strict=True):
        started = events[index]
        assert isinstance(started, RunStarted)
        finished = (e for e in events[index:after] if isinstance(e, RunFinished))
        end = microseconds(next(finished, events[after - 1]).time)
        window = Window(started=started, start=microseconds(started.time), end=end)
        windows.append((window, list(events[index if windows else 0 : after])))
    return windows


def _generations(window: Window, events: Sequence[AnyEvent]) -> list[Generation]:
    generations: list[Generation] = []
    by_number: dict[int | None, Generation] = {}
    for event in events:
        if isinstance(event, GenerationOpened):
            begin = microseconds(event.time)
            if generations:
                generations[-1].end = begin
                generations[-1].lost.update(event.lost_nodes)
            opened = Generation(opening=event, begin=begin, end=window.end, is_first=not generations, cause=event.cause)
            generations.append(opened)
            by_number[event.generation] = opened
        elif generations:
            current = generations[-1]
            if isinstance(event, StepFinished):
                by_number.get(event.generation, current).steps.append(event)
            elif isinstance(event, CheckpointRestored):
                by_number.get(event.generation, current).restored.append(event)
            elif isinstance(event, FaultDetected):
                current.detections.append(event)
            elif isinstance(event, MembershipChanged) and event.state == "lost" and event.node:
                current.lost.add(event.node)
    return generations


def _recovery(generation: Generation, successor: Generation | None, events: Sequence[AnyEvent]) -> Recovery | None:
    """The fault that ended `generation`: one that hit a member and after which no step of it began."""
    last_begin = max((begin_of(step) for step in generation.steps), default=generation.begin)
    ending = [
        fault
        for fault in generation.detections
        if (fault.target == EVERYBODY or node_of(fault.target) in generation.members)
        and microseconds(fault.time) >= last_begin
    ]
    if not ending:
        return None
    detected = microseconds(ending[0].time)
    low = bisect_left(events, generation.begin, key=_time)
    high = bisect_right(events, microseconds(ending[-1].time), key=_time)
    span = events[low:high]
    injections = {node_of(e.target): microseconds(e.time) for e in span if isinstance(e, FaultInjected)}
    # of several detections the injected one is the cause: the others are survivors that lost their peer
    first = next((fault for fault in ending if node_of(fault.target) in injections), ending[0])
    target = node_of(first.target)
    injected = target in injections
    blow = injections[target] if injected else _last_sign(span, target, generation.begin, detected)
    done = [step.step for step in generation.steps if microseconds(step.time) <= blow]
    before = max((step.step for step in generation.steps), default=generation.opening.restore_step)
    resumed = None if successor is None else successor.opening.restore_step
    fresh = [s for s in successor.steps if s.step > successor.opening.restore_step] if successor else []
    return Recovery(
        fault=first.fault,
        target=target,
        injected=injected,
        blow=min(blow, detected),
        detected=detected,
        opened=None if successor is None else successor.begin,
        recovered=min((microseconds(step.time) for step in fresh), default=None),
        restored_from=None if successor is None else _source(successor),
        fault_step=max(done, default=generation.opening.restore_step),
        resumed_step=resumed,
        lost_steps=None if resumed is None else max(0, before - resumed),
    )


def _last_sign(events: Sequence[AnyEvent], node: str, begin: int, end: int) -> int:
    """When `node` itself, or any node where it is EVERYBODY, last wrote anything in [begin, end)."""
    times = (_time(e) for e in events if node_of(e.producer) == node or (node == EVERYBODY and e.node is not None))
    return max((time for time in times if time < end), default=begin)


def _time(event: AnyEvent) -> int:
    return microseconds(event.time)


def _source(generation: Generation) -> Literal["memory", "manifest", "nothing"]:
    """Where the state came from: what the nodes say, and before they say it what they were told."""
    sources = {event.source for event in generation.restored}
    if not sources:
        return generation.opening.restore_from
    return "manifest" if "manifest" in sources else "memory"


def begin_of(step: StepFinished) -> int:
    """When `step` began, in microseconds."""
    return microseconds(step.time) - round(step.seconds * SECOND)


def node_of(name: str) -> str:
    """The node of a producer or of a fault's target: `node-1` of `node-1` and of `node-1.rank-0`."""
    return name.partition(".")[0]
