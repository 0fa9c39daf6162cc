"""Bits flip in a rank while a run trains. The rank is named, its node left out, and no bit of the result is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.spec.events import ActionDecided, CorruptionJudged, FaultDetected, GenerationOpened, StepFinished

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]
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


@pytest.mark.parametrize("layout", [FSDP, HSDP])
def test_a_flipped_bit_costs_a_step_and_a_node(
    train: Train, corrupt: Callable[..., Any], layout: tuple[str, ...]
) -> None:
    undisturbed = train("undisturbed", spares=0, overrides=[*layout, *SHORT, "sentinel=null"])
    for corruption, subject, good_step in (("FlipParameter", "state", 5), ("FlipGradient", "work", 6)):
        outcome = corrupt(corruption, *layout, *SHORT, "sentinel.recompute_every=3")
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
