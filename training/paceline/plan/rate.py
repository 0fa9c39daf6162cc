"""At which rate a rank computes: the one number of a plan that is measured, and where it was measured.

It is whatever makes the prediction of a run's step (plan/step_time.py) equal to what the run took, so it belongs to
that model of a step and to nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from paceline.catalog.instance_types import InstanceType, instance_type
from paceline.catalog.published_runs import PublishedRun, published_runs
from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.plan.flops import flops_per_token
from paceline.plan.hardware import TERA, Hardware
from paceline.plan.layout import Layout, derive
from paceline.plan.step_time import StepTime, step_time
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

_SLOWEST, _FASTEST = 1e6, 1e18


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """FLOP/s of a rank. `links_in_it`: what was measured has links in it that nobody knows the bandwidth of."""

    flops_per_second: float
    source: str
    kind: Literal["published", "recorded", "assumed"]
    links_in_it: bool = False


def published(hardware: str, precision: str, width: int, *, without: str | None = None) -> Rate | None:
    """From a published run on the same accelerator, or else on one of the same maker and peak, whose model's hidden
    states are nearest to `width`: wide products keep cores busier. None if there is none but the run called `without`.
    """
    mine = instance_type(hardware)
    rows = [row for row in published_runs().runs if row.calibrates and row.precision == precision]
    rows = [row for row in rows if row.run != without and _computes_as(mine, instance_type(row.instance))]
    if not rows:
        return None

    def distance(row: PublishedRun) -> tuple[bool, float]:
        return not _is(mine, row), abs(math.log(_config(row).hidden_size / width))

    nearest = min(rows, key=distance)
    alike = "" if _is(mine, nearest) else f", an accelerator of the same peak as {mine.accelerator}"
    return Rate(flops_per_second=_fitted(nearest.run), source=f"fitted to: {nearest.run}{alike}", kind="published")


def recorded(recipe: Recipe, layout: Layout, hardware: Hardware, seconds: float, vocabulary: int, source: str) -> Rate:
    """From the step of a run of one's own that took `seconds`."""
    known = hardware.within_node is not None and hardware.between_nodes is not None

    def at(rate: float) -> float:
        return step_time(recipe, layout, hardware, rate, links_in_rate=not known, vocabulary=vocabulary).total

    return Rate(flops_per_second=fit(at, seconds, source), source=source, kind="recorded", links_in_it=not known)


def assumed(hardware: Hardware, share: float) -> Rate:
    """A share of the peak that somebody believes in; RecipeError where no peak is known."""
    if hardware.peak is None:
        raise RecipeError(f"{hardware.name}: no peak is known of which a share could be assumed", "use --calibrate RUN")
    source = f"your assumption: {share:.0%} of the peak of {hardware.peak / TERA:.0f} TFLOP/s"
    return Rate(flops_per_second=hardware.peak * share, source=source, kind="assumed")


def fit(seconds_at: Callable[[float], float], seconds: float, source: str) -> float:
    """The rate at which a step takes `seconds`, by bisection; RecipeError when sending alone would take longer."""
    low, high = _SLOWEST, _FASTEST
    if not seconds_at(high) < seconds < seconds_at(low):
        raise RecipeError(
            f"{source}: a step of {seconds:.3g} s is shorter than what its ranks send each other takes, or endless",
            "calibrate with another run",
        )
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if seconds_at(middle) > seconds else (low, middle)
    return high


def predict(row: PublishedRun, rate: float) -> StepTime:
    """The step of a published run when ranks compute at `rate`."""
    recipe, layout, hardware = _as_planned(row)
    return step_time(recipe, layout, hardware, rate, recomputed=row.recomputed)


def seconds_of(row: PublishedRun) -> float:
    """How long a step of a published run took."""
    if row.tokens_per_second is not None:
        return row.sequences * row.sequence_length / (row.tokens_per_second * row.accelerators)
    assert row.mfu is not None
    return mfu_seconds(row) / row.mfu


def mfu_seconds(row: PublishedRun) -> float:
    """How long its step would take if only the model's arithmetic were done, at the peak: over this, MFU is one."""
    config = _config(row)
    peak = instance_type(row.instance).bf16_dense_tflops * TERA * row.accelerators
    return row.sequences * row.sequence_length * flops_per_token(config, row.sequence_length) / peak


@cache
def _fitted(run: str) -> float:
    row = next(row for row in published_runs().runs if row.run == run)
    return fit(lambda rate: predict(row, rate).total, seconds_of(row), run)


def _config(row: PublishedRun) -> DecoderConfig:
    return FAMILIES[row.model.family].preset(row.model.preset)


def _is(mine: InstanceType, row: PublishedRun) -> bool:
    return instance_type(row.instance).accelerator.split()[:2] == mine.accelerator.split()[:2]


def _computes_as(mine: InstanceType, other: InstanceType) -> bool:
    return mine.family == other.family and mine.bf16_dense_tflops == other.bf16_dense_tflops


def _as_planned(row: PublishedRun) -> tuple[Recipe, Layout, Hardware]:
    """What we would have planned the run from."""
    hardware = Hardware.of(row.instance)
    ranks = row.accelerators * hardware.processes // (instance_type(row.instance).accelerator_count or 1)
    recipe = Recipe.model_validate(
        {
            "name": "published",
            "description": row.run,
            "instance": row.instance,
            "engine": "nxd" if instance_type(row.instance).family == "neuron" else "torch",
            "model": row.model.model_dump(),
            "data": {"sequence_length": row.sequence_length},
            "batch": {"tokens": row.sequences * row.sequence_length, "micro_sequences": row.micro_sequences},
            "parallelism": row.parallelism,
            "compute": {"precision": row.precision},
            "optimizer": {"learning_rate": 1e-4},
            "schedule": {"steps": 1},
        }
    )
    return recipe, derive(recipe, ranks), hardware
