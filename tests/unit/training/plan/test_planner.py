"""The plan of a run: what it says, and what it does not pretend to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paceline.catalog.failure_rates import failure_rates
from paceline.plan.cadence import failures_per_second, interval, steps_between
from paceline.plan.planner import Plan, Question, plan
from paceline.recipe.load import load


def planned(name: str, instance: str, nodes: int | None, **asked: Any) -> Plan:
    question = Question(
        **({"nodes": nodes, "recovery": "one-minute", "replace_within": 5400.0, "confidence": 0.99} | asked)
    )
    return plan(load(name, ["accelerator=cpu" if instance == "cpu" else f"instance={instance}"]), question)


@pytest.fixture(scope="module")
def on_h100() -> Plan:
    return planned("llama3-8b-pretrain", "p5.48xlarge", 4, storage=10e9, price=2.0)


def test_figures_follow_from_each_other(on_h100: Plan) -> None:
    found = on_h100
    assert found.step_seconds_by_part is not None and found.step_seconds is not None
    assert found.step_seconds == pytest.approx(sum(found.step_seconds_by_part.values()))
    assert found.tokens_per_day == pytest.approx(4194304 / found.step_seconds * 86400)
    assert found.days == pytest.approx(1_200_000 * 4194304 / found.tokens_per_day)
    assert found.expected_goodput is not None and found.expected_goodput < 1
    assert found.expected_days == pytest.approx(found.days / found.expected_goodput)
    assert found.spares is not None and found.expected_days is not None
    assert found.cost == pytest.approx((4 + found.spares) * 24 * found.expected_days * 2.0)
    parts = dict(found.memory_gib_per_rank)
    assert parts.pop("total") == pytest.approx(sum(parts.values()))
    assert found.unknown == {}


def test_layouts_are_ranked_and_the_runs_own_is_marked(on_h100: Plan) -> None:
    seconds = [layout.step_seconds for layout in on_h100.layouts]
    assert None not in seconds and seconds == sorted(each or 0.0 for each in seconds)
    [chosen] = [layout for layout in on_h100.layouts if layout.chosen]
    assert chosen.step_seconds == pytest.approx(on_h100.step_seconds)
    assert chosen.memory_gib_per_rank == pytest.approx(on_h100.memory_gib_per_rank["total"])


def test_mfu_is_in_the_range_of_what_is_published(on_h100: Plan) -> None:
    assert on_h100.mfu is not None and 0.3 < on_h100.mfu < 0.45
    assert on_h100.assumption is not None and "torchtitan" in on_h100.assumption.source


def test_a_checkpoint_takes_what_its_slowest_link_takes(on_h100: Plan) -> None:
    found = on_h100.checkpoint
    assert found.gib == pytest.approx(8030261248 * 12 / 2**30, rel=1e-3)
    assert found.gib_per_rank == pytest.approx(found.gib / 32)
    assert found.to_storage_seconds == pytest.approx(found.gib * 2**30 / 10e9)


def test_the_cadence_is_the_recipes_or_what_a_run_would_decide(on_h100: Plan) -> None:
    assert on_h100.checkpoint.every_steps == load("llama3-8b-pretrain").recipe.checkpoint.persist_every
    chosen = ["instance=p5.48xlarge", "checkpoint.cadence=auto", "checkpoint.failures=rsc-2"]
    question = Question(nodes=4, recovery="one-minute", replace_within=5400.0, confidence=0.99)
    found = plan(load("llama3-8b-pretrain", chosen), replace(question, storage=10e9))
    stall, absorb = found.checkpoint.to_memory_seconds, found.checkpoint.to_storage_seconds
    assert stall is not None and absorb is not None and found.step_seconds is not None
    seconds = interval(stall, absorb, failures_per_second(32, failure_rates().rates["rsc-2"]))
    assert found.checkpoint.every_steps == steps_between(seconds, found.step_seconds)
    unmeasured = plan(load("llama3-8b-pretrain", chosen), question)
    assert unmeasured.checkpoint.every_steps is None and "checkpoint.every_steps" in unmeasured.unknown


def test_interruptions_cost_what_their_class_costs(on_h100: Plan) -> None:
    found = on_h100.expectation
    assert found is not None
    assert sum(each.per_day for each in found.interruptions) == pytest.approx(4 * 3.789 / 1000)
    stall = 0.009
    lost = sum(each.lost_seconds_per_day for each in found.interruptions) / 86400
    assert found.goodput == pytest.approx((1 - lost) / (1 + stall))


def test_what_nobody_knows_is_null_and_said() -> None:
    found = planned("llama3-70b-pretrain", "trn2.48xlarge", 8)
    assert (found.step_seconds, found.mfu, found.days, found.expected_goodput) == (None, None, None, None)
    assert "no published run says how fast trn2.48xlarge computes in bfloat16" in found.unknown["step_seconds"]
    assert "AWS Trainium2" in found.unknown["expected_goodput"]
    assert found.graphs_to_compile == 9  # three kinds of stage, each with two passes and an update
    assumed = planned("llama3-70b-pretrain", "trn2.48xlarge", 8, efficiency=0.3, rates="llama3")
    assert assumed.mfu is not None and assumed.mfu < 0.3
    assert assumed.expected_days is not None and "step_seconds" not in assumed.unknown


def test_without_a_number_the_fewest_nodes_are_planned() -> None:
    assert planned("llama3-70b-qlora", "p5.48xlarge", None).nodes == 1
