"""The lines of a run that people read while it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from paceline.journal.live import LiveLines
from paceline.spec.events import StepFinished


def step(number: int, **fields: Any) -> StepFinished:
    given = {"run": "r", "producer": "p", "node": "node-0", "monotonic_ns": 0, "generation": 0, "rank": 0} | fields
    times = {"seconds": 0.5, "data_seconds": 0.0, "checkpoint_seconds": 0.0}
    figures = {"tokens": 100, "learning_rate": 0.1, "gradient_norm": 1.0, "loss": 0.5}
    return StepFinished(time=datetime(2026, 1, 1, tzinfo=UTC), step=number, **(times | figures | given))


def test_every_tenth_of_the_steps_is_told_and_the_first_of_a_generation() -> None:
    lines = LiveLines(20)
    told = [number for number in range(1, 21) if lines.line(step(number, generation=number // 7))]
    assert told == [1, 2, 4, 6, 7, 8, 10, 12, 14, 16, 18, 20]


def test_a_step_tells_what_its_method_measures() -> None:
    line = LiveLines(4).line(step(1, metrics={"reward_margin": 0.25}))
    assert line == "  0:00.000  node-0       Step 1 of 4, loss 0.500, reward margin 0.250, 200 tokens/s."


def test_other_ranks_do_not_speak() -> None:
    assert LiveLines(4).line(step(1, rank=1)) is None
