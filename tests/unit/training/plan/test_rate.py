"""Where the one measured number of a plan comes from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.catalog.instance_types import instance_types
from paceline.catalog.links import links
from paceline.catalog.published_runs import PublishedRun, published_runs
from paceline.models.families import FAMILIES
from paceline.plan.hardware import Hardware
from paceline.plan.layout import derive
from paceline.plan.rate import assumed, fit, mfu_seconds, predict, published, recorded, seconds_of
from paceline.plan.step_time import step_time
from paceline.recipe.load import load
from paceline.spec.errors import RecipeError

RUNS = published_runs()


def test_every_row_has_its_sources_and_an_instance_type() -> None:
    for row in RUNS.runs:
        assert set(row.sources) <= RUNS.sources.keys()
        assert row.model.preset in FAMILIES[row.model.family].presets()
        assert row.instance in instance_types()
        assert set(row.assumed) <= set(PublishedRun.model_fields) | {"stages_per_rank"}
    for link in links().links:
        assert set(link.sources) <= links().sources.keys()
        assert set(link.instance_types) <= instance_types().keys()


def width(row: PublishedRun) -> int:
    return FAMILIES[row.model.family].preset(row.model.preset).hidden_size


def off(row: PublishedRun, *, without: str | None = None) -> float:
    """By how much the predicted seconds of its step exceed those that it took."""
    rate = published(row.instance, row.precision, width(row), without=without)
    assert rate is not None
    return predict(row, rate.flops_per_second).total / seconds_of(row) - 1


@pytest.mark.parametrize("row", [row for row in RUNS.runs if row.calibrates], ids=lambda row: row.run)
def test_a_run_that_calibrates_is_predicted_exactly_by_itself(row: PublishedRun) -> None:
    assert off(row) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("row", RUNS.runs, ids=lambda row: row.run)
def test_a_run_is_predicted_from_others_within_a_tenth_or_with_what_explains_it(row: PublishedRun) -> None:
    assert abs(off(row, without=row.run)) < (0.55 if row.difference else 0.10)


def test_the_nearest_width_says_how_fast_it_is() -> None:
    sources = [published("p5.48xlarge", "bfloat16", width) for width in (2048, 8192, 16384)]

    assert [rate.source.rpartition(", ")[0] for rate in sources if rate] == [
        "fitted to: torchtitan, 8 H100, Llama 3.1 8B",
        "fitted to: torchtitan, 256 H100, Llama 3.1 70B",
        "fitted to: Llama 3 405B",
    ]


def test_mfu_is_that_of_the_log() -> None:
    """39.73 % for 6,785 tokens a second (awsome-distributed-ai, torchtitan on four p5.48xlarge)."""
    row = next(row for row in RUNS.runs if row.run.startswith("torchtitan on AWS"))

    assert mfu_seconds(row) / seconds_of(row) == pytest.approx(0.3973, abs=2e-4)


def test_an_accelerator_of_the_same_peak_stands_in_and_says_so() -> None:
    like, own = published("p5en.48xlarge", "bfloat16", 4096), published("p5.48xlarge", "bfloat16", 4096)

    assert like is not None and own is not None
    assert like.flops_per_second == own.flops_per_second
    assert like.source.endswith("an accelerator of the same peak as NVIDIA H200")


@pytest.mark.parametrize(("instance", "precision"), [("trn2.48xlarge", "bfloat16"), ("p5.48xlarge", "float32")])
def test_what_nobody_has_published_is_not_made_up(instance: str, precision: str) -> None:
    assert published(instance, precision, 4096) is None


@given(st.floats(min_value=1e8, max_value=1e16), st.floats(min_value=0, max_value=10))
def test_a_fit_finds_the_rate_that_there_was(rate: float, sending: float) -> None:
    work = 1e12
    assert fit(lambda r: work / r + sending, work / rate + sending, "a run") == pytest.approx(rate, rel=1e-3)


def test_a_step_that_is_shorter_than_its_sending_is_refused() -> None:
    with pytest.raises(RecipeError, match="a run: a step of 1 s is shorter than what its ranks send each other"):
        fit(lambda r: 1e12 / r + 2, 1.0, "a run")


def test_a_recorded_run_is_predicted_exactly_and_another_shape_by_its_work() -> None:
    """On a machine without a known link the rate has what is sent in it."""
    recipe, cpu = load("debug-llama", ["accelerator=cpu"]).recipe, Hardware(name="cpu", processes=1)
    rate = recorded(recipe, derive(recipe, 2), cpu, 0.5, 2048, "a run")
    larger = load("debug-llama", ["accelerator=cpu", "batch.tokens=4096"]).recipe
    same, twice = (
        step_time(each, derive(each, 2), cpu, rate.flops_per_second, links_in_rate=rate.links_in_it, vocabulary=2048)
        for each in (recipe, larger)
    )

    assert rate.links_in_it
    assert same.total == pytest.approx(0.5)
    assert twice.total == pytest.approx(1.0)


def test_an_assumption_needs_a_peak() -> None:
    assert assumed(Hardware.of("trn2.48xlarge"), 0.3).flops_per_second == pytest.approx(667e12 / 4 * 0.3)
    with pytest.raises(RecipeError, match="cpu: no peak is known"):
        assumed(Hardware(name="cpu", processes=1), 0.3)
