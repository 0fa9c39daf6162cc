"""What the planner predicts beside what was measured: published runs on GPUs and Trainium, and our own on this CPU.

    python -m benchmarks.plan [--repeat N] [--save]

Of each accelerator and precision one published run says how fast it computes, the others are predicted. On this machine
the first run calibrates (`paceline plan --calibrate`), and the others, of other shapes, are predicted with it.
"""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import dataset, job, workspace
from benchmarks.common.report import Report, Table
from paceline.catalog.published_runs import PublishedRun, published_runs
from paceline.launch.local.run import LocalRun
from paceline.plan.hardware import Hardware
from paceline.plan.layout import derive
from paceline.plan.rate import mfu_seconds, predict, published, recorded, seconds_of
from paceline.plan.step_time import step_time
from paceline.recipe.schema import Recipe
from paceline.spec.errors import LaunchError
from paceline.spec.events import RunFinished, StepFinished
from paceline.spec.job import JobSpec

WARM_UP_STEPS, MEASURED_STEPS = 6, 8
STEPS = WARM_UP_STEPS + MEASURED_STEPS
CPU = Hardware(name="cpu", processes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How a run differs from the one that calibrates."""

    title: str
    overrides: tuple[str, ...] = ()


CALIBRATES = Shape(title="debug Llama, 8 sequences of 256")
SHAPES = (
    CALIBRATES,
    Shape(title="sequences of 512", overrides=("data.sequence_length=512", "batch.micro_sequences=2")),
    Shape(title="16 sequences a step", overrides=("batch.tokens=4096",)),
    Shape(title="layers computed again", overrides=("compute.activation_checkpointing=full",)),
    Shape(title="SmolLM2 135M, 1 sequence", overrides=(
        "model.preset=smollm2-135m", "batch.tokens=256", "batch.micro_sequences=1")),
)  # fmt: skip


def measure(repeat: int, say: Say) -> Report:
    """The table of published runs, then that of this machine, the shapes taking turns."""
    rows = [_published(row) for row in published_runs().runs]
    seconds: dict[Shape, list[float]] = {shape: [] for shape in SHAPES}
    jobs: dict[Shape, JobSpec] = {}
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            for place, shape in enumerate(SHAPES):
                say(f"{number + 1} of {repeat}: {shape.title}")
                jobs[shape], steps = _run(directory / f"run-{number}-{place}", data, shape)
                seconds[shape] += steps[WARM_UP_STEPS:]
    first = jobs[CALIBRATES]
    recipe = Recipe.model_validate(first.recipe)
    rate = recorded(
        recipe, derive(recipe, 1), CPU, statistics.median(seconds[CALIBRATES]), first.vocabulary, CALIBRATES.title
    )
    for shape in SHAPES:
        recipe, measured = Recipe.model_validate(jobs[shape].recipe), statistics.median(seconds[shape])
        timed = step_time(
            recipe,
            derive(recipe, 1),
            CPU,
            rate.flops_per_second,
            links_in_rate=rate.links_in_it,
            vocabulary=jobs[shape].vocabulary,
        )
        calibrates = "calibrates" if shape is CALIBRATES else ""
        rows.append((f"this CPU: {shape.title}", f"{measured:.2f} s", *_compared(measured, timed.total), calibrates))
    return Report(
        title="The planner beside what was measured",
        table=Table(columns=("run", "measured", "predicted", "time off by", "why"), rows=tuple(rows)),
        notes=(
            "Published runs are shown as MFU: of the dense bfloat16 peak, attention counted in full; sources and layouts"
            " are in training/paceline/catalog/published_runs.yaml. (a) marks a layout of which the source leaves"
            " something open.",
            "`time off by`: predicted over measured seconds of a step, less one. Goal for this CPU: within 20 %.",
            f"On this CPU {MEASURED_STEPS} steps per repetition after {WARM_UP_STEPS}, their median, one rank, float32.",
        ),
    )


def _published(row: PublishedRun) -> tuple[str, ...]:
    rate = published(row.instance, row.precision)
    assert rate is not None, "some run of each accelerator and precision calibrates"
    peak, measured = mfu_seconds(row), seconds_of(row)
    seconds = predict(row, rate.flops_per_second).total
    why = "calibrates" if row.calibrates else row.difference or ""
    title = f"{row.run}{' (a)' if row.assumed else ''}"
    return title, f"{peak / measured:.1%}", f"{peak / seconds:.1%}", f"{seconds / measured - 1:+.1%}", why


def _compared(measured: float, predicted: float) -> tuple[str, str]:
    return f"{predicted:.2f} s", f"{predicted / measured - 1:+.1%}"


def _run(directory: Path, data: Path, shape: Shape) -> tuple[JobSpec, list[float]]:
    """The job, and the seconds of every step of a run on one node."""
    overrides = (*shape.overrides, f"schedule.steps={STEPS}", f"checkpoint.persist_every={STEPS}")
    spec, seconds = job(directory, data, overrides, nodes=1), []
    with LocalRun(spec, directory, os.environ) as run:
        for event in run.events():
            if isinstance(event, StepFinished):
                seconds.append(event.seconds)
            if isinstance(event, RunFinished) and event.outcome != "completed":
                raise LaunchError(f"the run {event.outcome}: {event.reason}", event.hint)
    return spec, seconds


if __name__ == "__main__":
    sys.exit(command("plan", __doc__, measure, repeat=1))
