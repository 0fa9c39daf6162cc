"""The chaos score: what a run made of a blow, by its own events, and the figures over all blows of a class.

Pure. Times are of the machine's monotonic clock, which all processes here share: a clock that jumps does not reach it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from paceline.spec.base import Record
from paceline.spec.events import AnyEvent, GenerationOpened, StepFinished

_SECOND = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Blow:
    """What was done, and to whom: nodes, the coordinator, or the folder of a checkpoint. The rest is how things stood
    then: which generation, the last step that it had finished, and who took part."""

    struck: frozenset[str]
    first_ns: int
    last_ns: int
    generation: int
    step: int
    members: frozenset[str]


class Trial(Record):
    """What became of one blow. `detect_seconds` is to the first sign, `recover_seconds` from the last blow to the end
    of the first optimizer step of a new generation; None where there was none. `localised` says that the sign named
    what was struck, and is None where nothing was detected. `lost_steps` had been done and had to be done again.

    A false action is a generation that nothing called for, or a node that lost its place without having been struck in
    this trial. `seconds` went by since the trial before was over, starts and stops of the run included.
    `ended` is why the run came to its end, if it did not survive.
    """

    number: int
    fault: str
    leg: str
    detect_seconds: float | None
    localised: bool | None
    recover_seconds: float | None
    lost_steps: int
    false_actions: int
    seconds: float
    ended: str | None = None


def judge(
    events: Sequence[AnyEvent],
    blow: Blow,
    *,
    number: int,
    fault: str,
    leg: str,
    signs: Collection[str],
    heals: bool,
    seconds: float,
    ended: str | None = None,
) -> Trial:
    """What `events`, in any order, say of the blow."""
    events = sorted(events, key=lambda e: e.monotonic_ns)
    after = [e for e in events if e.monotonic_ns >= blow.first_ns]
    sign = next((e for e in after if e.kind in signs), None)
    opened = [e for e in after if isinstance(e, GenerationOpened) and (e.generation or 0) > blow.generation]
    recovered = first_new_step(after, opened, blow)
    return Trial(
        number=number,
        fault=fault,
        leg=leg,
        detect_seconds=None if sign is None else (sign.monotonic_ns - blow.first_ns) / _SECOND,
        localised=None if sign is None else bool(_named(sign) & blow.struck),
        recover_seconds=None if recovered is None else (recovered.monotonic_ns - blow.last_ns) / _SECOND,
        lost_steps=_lost_steps(events, opened, blow),
        false_actions=_displaced(opened, blow) if heals else len(opened),
        seconds=seconds,
        ended=ended,
    )


def first_new_step(events: Sequence[AnyEvent], opened: Sequence[GenerationOpened], blow: Blow) -> StepFinished | None:
    """The first step that a generation after the last blow has finished."""
    generations = {e.generation for e in opened}
    steps = (e for e in events if isinstance(e, StepFinished) and e.generation in generations)
    return next((e for e in steps if e.monotonic_ns >= blow.last_ns), None)


def _named(sign: AnyEvent) -> set[str]:
    """What `sign` points at: nodes, or the folder of a checkpoint."""
    pointed = [getattr(sign, name, None) for name in ("target", "guilty_node", "slow_node", "node")]
    folder = str(getattr(sign, "uri", "")).rpartition("/")[2]
    return {name for name in (*pointed, folder) if name}


def _lost_steps(events: Sequence[AnyEvent], opened: Sequence[GenerationOpened], blow: Blow) -> int:
    """How far the run went back behind what it had done, each time that it did."""
    lost, furthest = 0, blow.step
    for event in events:
        if isinstance(event, StepFinished):
            furthest = max(furthest, event.step)
        elif event in opened and isinstance(event, GenerationOpened):
            lost += max(0, furthest - event.restore_step)
            furthest = event.restore_step
    return lost


def _displaced(opened: Sequence[GenerationOpened], blow: Blow) -> int:
    """How often a node lost its place that nothing was done to."""
    count, members = 0, set(blow.members)
    for event in opened:
        count += len(members - set(event.ranks) - blow.struck)
        members = set(event.ranks)
    return count


class Spread(Record):
    """In seconds; None without a value."""

    p50: float | None
    p95: float | None


class ClassScore(Record):
    """All trials of one class: `struck` is how many, and `survived` those after which the run went on. `seconds` are
    those that each of them took, from the end of the one before."""

    struck: int
    detected: int | None
    localised: int | None
    recovered: int | None
    survived: int
    detect_seconds: Spread
    recover_seconds: Spread
    seconds: Spread
    lost_steps_most: int
    lost_steps: int
    false_actions: int


def score(trials: Sequence[Trial], *, signs: Collection[str], heals: bool) -> ClassScore:
    """The figures of one class. What is not to happen in it, detection or recovery, is not counted: None."""
    detections = [t.detect_seconds for t in trials if t.detect_seconds is not None]
    recoveries = [t.recover_seconds for t in trials if t.recover_seconds is not None]
    return ClassScore(
        struck=len(trials),
        detected=len(detections) if signs else None,
        localised=sum(bool(t.localised) for t in trials) if signs else None,
        recovered=len(recoveries) if heals else None,
        survived=sum(t.ended is None for t in trials),
        detect_seconds=spread(detections),
        recover_seconds=spread(recoveries),
        seconds=spread([t.seconds for t in trials]),
        lost_steps_most=max((t.lost_steps for t in trials), default=0),
        lost_steps=sum(t.lost_steps for t in trials),
        false_actions=sum(t.false_actions for t in trials),
    )


def spread(values: Sequence[float]) -> Spread:
    """The nearest-rank percentiles: each is one of the values."""
    ordered = sorted(values)
    return Spread(p50=_rank(ordered, 50), p95=_rank(ordered, 95))


def _rank(ordered: Sequence[float], percent: int) -> float | None:
    if not ordered:
        return None
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
