"""The learning rate of a step: plain Python, outside any graph, a pure function of the step number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from paceline.recipe.schema import Schedule

# what is left of the decay, from 1 to 0, after the given part of the decaying steps
_SHAPES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
    "wsd": lambda done: 1.0 - done,
}


def learning_rate(schedule: Schedule, peak: float, step: int) -> float:
    """The learning rate of optimizer step `step`, counted from 0.

    It rises linearly over `warmup_steps` (step 0 already moves), reaches `peak` at the first step after them, and
    decays to `final_fraction * peak` at the last step of the schedule, where it stays for steps beyond. `constant`
    does not decay; `wsd` (warm-up, stable, decay: Hu et al., 2024, MiniCPM, section 4) stays at the peak until the
    last `decay_fraction` of all steps. The cosine is that of SGDR without restarts (Loshchilov and Hutter, 2017,
    equation 5).
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / (schedule.warmup_steps + 1)
    if schedule.kind == "constant":
        return peak
    last = schedule.steps - 1
    begin = schedule.warmup_steps
    if schedule.kind == "wsd":
        begin = max(begin, last - round(schedule.decay_fraction * schedule.steps))
    done = min(max(step - begin, 0) / (last - begin), 1.0) if last > begin else 0.0
    remaining = _SHAPES[schedule.kind](done)
    return peak * (schedule.final_fraction + (1.0 - schedule.final_fraction) * remaining)
