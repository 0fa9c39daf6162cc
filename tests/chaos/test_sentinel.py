"""Bits flip in a rank while a run trains, or it is slow: it is named, its node left out, no bit of the result wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.spec.events import (
    ActionDecided,
    CorruptionJudged,
    FaultDetected,
    GenerationOpened,
    StepFinished,
    StragglerFound,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]
Train = Callable[..., Any]
FSDP = ()
HSDP = ("parallelism.dp_replicate=2",)
SHORT = ("schedule.steps=9",)


@pytest.fixture
def corrupt(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Train with a corruption of corruptions.py, and a spare."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")

    def run(name: str, *overrides: str) -> Any:
        monkeypatch.setenv("PACELINE_TEST_CORRUPTED", str(tmp_path / f"{name}.done"))
        return train(name.lower(), overrides=[f"callbacks=['corruptions:{name}']", *overrides])

    return run


@pytest.mark.parametrize(("layout", "of_state"), [(FSDP, "FlipParameter"), (HSDP, "FlipMoment")])
def test_a_flipped_bit_costs_a_step_and_a_node(
    train: Train, corrupt: Callable[..., Any], layout: tuple[str, ...], of_state: str
) -> None:
    undisturbed = train("undisturbed", spares=0, overrides=[*layout, *SHORT, "sentinel=null"])
    for corruption, subject, good_step in (("FlipGradient", "work", 6), (of_state, "state", 5)):
        outcome = corrupt(corruption, *layout, *SHORT, "sentinel.overhead=1", "sentinel.recompute_every=3")
        assert outcome.finished.outcome == "completed"
        [judged] = outcome.of(CorruptionJudged)
        first, second = outcome.of(GenerationOpened)
        [guilty] = [node for node, rank in first.ranks.items() if rank == 1]
        assert (judged.outcome, judged.subject, judged.guilty_ranks) == ("convicted", subject, (1,))
        assert [(f.fault, f.target) for f in outcome.of(FaultDetected)] == [("silent corruption", guilty)]
        assert guilty not in second.ranks
        assert second.restore_from == "memory"
        assert second.restore_step == judged.good_step == good_step
        assert [a.action for a in outcome.of(ActionDecided)] == ["promote spare"]
        assert max(e.step for e in outcome.of(StepFinished) if e.generation == 0) == 6
        assert outcome.losses() == undisturbed.losses()
        assert outcome.parameters() == undisturbed.parameters()


def test_a_slow_rank_is_named_and_gives_way(corrupt: Callable[..., Any]) -> None:
    outcome = corrupt("SlowLayers", "schedule.steps=90", "schedule.warmup_steps=2", "stragglers.action=replace")
    assert outcome.finished.outcome == "completed"
    first, second = outcome.of(GenerationOpened)
    [named] = [e for e in outcome.of(StragglerFound) if e.generation == first.generation]
    assert (named.slow_rank, named.phase) == (1, "compute")
    assert first.ranks[named.slow_node] == 1
    assert named.factor > 4 / 3
    assert named.slow_node not in second.ranks
    assert outcome.of(FaultDetected) == []
    assert max(e.step for e in outcome.of(StepFinished) if e.generation == 0) == second.restore_step, "no step is lost"
