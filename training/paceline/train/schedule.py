"""The learning rate of a step: plain Python, outside any graph, a pure function of the step number."""

from __future__ import annotations

import math

from paceline.recipe.schema import Schedule


def learning_rate(schedule: Schedule, peak: float, step: int) -> float:
    """The learning rate of optimizer step `step`, counted from 0.

    It rises linearly over `warmup_steps` (step 0 already moves), reaches `peak` at the first step after them, and
    decays to `final_fraction * peak` at the last step of the schedule, where it stays for steps beyond. `constant`
    does not decay. The cosine is that of SGDR without restarts (Loshchilov and Hutter, 2017, equation 5).
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / (schedule.warmup_steps + 1)
    if schedule.kind == "constant":
        return peak
    decay_steps = schedule.steps - 1 - schedule.warmup_steps
    done = min((step - schedule.warmup_steps) / decay_steps, 1.0) if decay_steps else 0.0
    remaining = 1.0 - done if schedule.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return peak * (schedule.final_fraction + (1.0 - schedule.final_fraction) * remaining)
