"""From the steps of a run, before and after a fault, to what the fault cost. The same arithmetic for every system."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paceline.spec.errors import LaunchError
from paceline.spec.events import StepFinished


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What one fault cost.

    `first_step` ends with the first optimizer step after the fault, `whole` with the first one of the last rank to have
    one, `caught_up` with the first one that had never been done before; `lost_steps` lie between. `step` is the median
    of an undisturbed step. `detect` is None where the system does not tell.
    """

    detect_seconds: float | None
    first_step_seconds: float
    whole_seconds: float
    caught_up_seconds: float
    lost_steps: int
    step_seconds: float


def has_caught_up(steps: Sequence[StepFinished]) -> bool:
    """Whether a later generation went further than the first, and all of its ranks take part again."""
    before, after = _split(steps)
    further = bool(after) and max(s.step for s in after) > max(s.step for s in before)
    return further and {s.rank for s in after} >= {s.rank for s in before}


def recovery(steps: Sequence[StepFinished], *, killed: datetime, detected: datetime | None, warm_up: int) -> Recovery:
    """The cost of the fault at `killed`. LaunchError when the run did not come back."""
    before, after = _split(steps)
    if not has_caught_up(steps):
        raise LaunchError("the run did not come back after the kill", "run it again on a machine with less load")
    done = max(step.step for step in before)
    first = min(after, key=lambda step: step.time)
    whole = max(min(s.time for s in after if s.rank == rank) for rank in {s.rank for s in before})
    further = min((step for step in after if step.step > done), key=lambda step: step.time)
    return Recovery(
        detect_seconds=(detected - killed).total_seconds() if detected else None,
        first_step_seconds=(first.time - killed).total_seconds(),
        whole_seconds=(whole - killed).total_seconds(),
        caught_up_seconds=(further.time - killed).total_seconds(),
        lost_steps=done + 1 - first.step,
        step_seconds=statistics.median(step.seconds for step in steady(before, warm_up)),
    )


def steady(steps: Sequence[StepFinished], warm_up: int) -> list[StepFinished]:
    """The steps of all ranks without the first `warm_up`, in which paceline's next standbys rehearse on the same
    cores."""
    return [step for step in steps if step.step > warm_up]


def _split(steps: Sequence[StepFinished]) -> tuple[list[StepFinished], list[StepFinished]]:
    """The first generation's steps, and those of all later ones."""
    first = min((step.generation or 0 for step in steps), default=0)
    before = [step for step in steps if (step.generation or 0) == first]
    return before, [step for step in steps if (step.generation or 0) > first]
