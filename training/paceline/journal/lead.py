"""A run told in two or three sentences."""

from __future__ import annotations

from paceline.journal.summary import Fault, Summary
from paceline.journal.units import counted, duration

_OUTCOME = {
    "completed": "The run completed",
    "stopped": "The run was stopped after",
    "failed": "The run failed after",
    "unfinished": "The run has not finished; so far it did",
}
_PLACE = {"memory": "from memory", "manifest": "from a checkpoint", "nothing": "from the beginning"}


def lead(figures: Summary) -> str:
    """What came of the run, and what its faults cost."""
    world = counted(figures.nodes - figures.spares, "node")
    spares = f" with {counted(figures.spares, 'spare')}" if figures.spares else ""
    steps = counted(figures.steps, "step")
    wall = duration(figures.wall_seconds)
    first = f"{_OUTCOME[figures.outcome]} {steps} in {wall} on {world}{spares}."
    if len(figures.faults) > 1:
        return f"{first} {_many(figures.faults)}"
    return " ".join([first, *map(_one, figures.faults)])


def _one(fault: Fault) -> str:
    name = fault.fault.replace("_", " ")
    begin = f"After step {fault.fault_step:,} came a fault ({name}, {fault.target}), noticed after "
    begin += f"{duration(fault.detect_seconds)}"
    if fault.recovery_seconds is None or fault.restored_from is None or fault.lost_steps is None:
        return f"{begin}; the run did not come back from it."
    lost = (
        f"{counted(fault.lost_steps, 'step')} had to be done again" if fault.lost_steps else "no finished step was lost"
    )
    return (
        f"{begin}. The first new step was done {duration(fault.recovery_seconds)} after the blow, "
        f"{_PLACE[fault.restored_from]}; {lost}."
    )


def _many(faults: tuple[Fault, ...]) -> str:
    back = sorted(fault.recovery_seconds for fault in faults if fault.recovery_seconds is not None)
    again = sum(fault.lost_steps or 0 for fault in faults)
    if not back:
        return f"It met {counted(len(faults), 'fault')} and did not come back from them."
    middle = duration(back[len(back) // 2])
    return (
        f"It met {counted(len(faults), 'fault')} and came back from {len(back):,}, typically within {middle}, "
        f"{duration(back[-1])} at most; {counted(again, 'step')} had to be done again."
    )
