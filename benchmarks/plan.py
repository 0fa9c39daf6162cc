"""What the planner predicts beside what was measured: published runs, and our own steps on this CPU.

    python -m benchmarks.plan [--repeat N] [--save]

Every published run is predicted from the others: from the nearest in width on the same accelerator and in the same
precision. On this machine the first shape calibrates, as `paceline plan --calibrate` does, and the rest is predicted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.common.command import Say, command
from benchmarks.common.report import Report, Table
from benchmarks.common.steps import processor_seconds
from paceline.catalog.published_runs import PublishedRun, published_runs
from paceline.models.families import FAMILIES
from paceline.plan.hardware import Hardware
from paceline.plan.layout import derive
from paceline.plan.rate import Rate, mfu_seconds, predict, published, recorded, seconds_of
from paceline.plan.step_time import step_time
from paceline.recipe.load import load

CPU = Hardware(name="cpu", processes=1)
VOCABULARY = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How a recipe differs from the one that calibrates."""

    title: str
    recipe: str = "debug-llama"
    overrides: tuple[str, ...] = ()


SHAPES = (
    Shape(title="debug Llama, 8 sequences of 256"),
    Shape(title="4 sequences of 512", overrides=("data.sequence_length=512", "batch.micro_sequences=2")),
    Shape(title="16 sequences of 256", overrides=("batch.tokens=4096",)),
    Shape(title="layers computed again", overrides=("compute.activation_checkpointing=full",)),
    Shape(title="debug Qwen3", recipe="debug-qwen3"),
    Shape(
        title="SmolLM2 135M, one sequence of 256",
        overrides=("model.preset=smollm2-135m", "batch.tokens=256", "batch.micro_sequences=1"),
    ),
)


def measure(repeat: int, say: Say) -> Report:
    """The table of published runs, then that of this machine, the shapes taking turns."""
    say(f"{len(SHAPES)} shapes by turns, {repeat} rounds")
    return Report(
        title="The planner beside what was measured",
        table=Table(
            columns=("run", "measured", "predicted", "time off by", "predicted from", "difference"),
            rows=(*(_published(row) for row in published_runs().runs), *on_this_cpu(SHAPES, repeat)),
        ),
        notes=(
            "Published runs are shown as MFU: of the dense bfloat16 peak, attention in full; sources and layouts are in"
            " training/paceline/catalog/published_runs.yaml. (a) marks a layout of which the source leaves something"
            " open.",
            "`time off by`: predicted over measured seconds of a step, less one. Goal for this CPU: within 20 %.",
            f"On this CPU: processor seconds of a step, median of {repeat} rounds; one rank, one thread, float32.",
        ),
    )


def on_this_cpu(shapes: tuple[Shape, ...], rounds: int) -> list[tuple[str, ...]]:
    """A row for each; the first calibrates."""
    recipes = [load(shape.recipe, ("accelerator=cpu", *shape.overrides)).recipe for shape in shapes]
    measured = processor_seconds(recipes, rounds=rounds, vocabulary=VOCABULARY)
    source = shapes[0].title
    rate = recorded(recipes[0], derive(recipes[0], 1), CPU, measured[0], VOCABULARY, source)
    rows: list[tuple[str, ...]] = []
    for shape, recipe, seconds in zip(shapes, recipes, measured, strict=True):
        timed = step_time(
            recipe, derive(recipe, 1), CPU, rate.flops_per_second, links_in_rate=rate.links_in_it, vocabulary=VOCABULARY
        ).total
        own = "itself" if shape is shapes[0] else source
        title, off = f"this CPU: {shape.title}", f"{timed / seconds - 1:+.1%}"
        rows.append((title, f"{seconds:.2f} s", f"{timed:.2f} s", off, own, ""))
    return rows


def _published(row: PublishedRun) -> tuple[str, ...]:
    width = FAMILIES[row.model.family].preset(row.model.preset).hidden_size
    rate = published(row.instance, row.precision, width, without=row.run)
    assert rate is not None, "two runs of each accelerator and precision calibrate, or one of another of its peak"
    peak, measured = mfu_seconds(row), seconds_of(row)
    seconds = predict(row, rate.flops_per_second).total
    why = "" if row.difference is None else row.difference
    title = f"{row.run}{' (a)' if row.assumed else ''}"
    return (
        title,
        f"{peak / measured:.1%}",
        f"{peak / seconds:.1%}",
        f"{seconds / measured - 1:+.1%}",
        _source(rate),
        why,
    )


def _source(rate: Rate) -> str:
    return rate.source.removeprefix("fitted to: ")


if __name__ == "__main__":
    sys.exit(command("plan", __doc__, measure, repeat=3))
