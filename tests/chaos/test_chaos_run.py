"""One run that is struck again and again, as `paceline chaos run` does it, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.chaos.run import ChaosRun, Score
from paceline.chaos.schedule import Plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
CLASSES = ("worker_kill", "node_loss", "coordinator_loss", "snapshot_bit_flip", "clock_jump")


def test_faults_one_after_the_other_change_no_bit_and_leave_nothing(tmp_path: Path) -> None:
    plan = Plan(seed=7, faults=len(CLASSES), classes=CLASSES)
    told: list[str] = []
    chaos = ChaosRun.begin(
        tmp_path / "chaos", plan, say=lambda text: None, on_trial=lambda trial, done, total: told.append(trial.fault)
    )
    score = chaos.run()
    assert sorted(told) == sorted(CLASSES)
    assert set(score.classes) == set(CLASSES)
    assert all(found.survived == found.struck == 1 for found in score.classes.values())
    for name in ("worker_kill", "node_loss", "snapshot_bit_flip"):
        assert (score.classes[name].detected, score.classes[name].recovered) == (1, 1)
        assert score.classes[name].lost_steps_most <= 1
    assert score.classes["node_loss"].localised == 1
    assert sum(found.false_actions for found in score.classes.values()) == 0
    assert (score.tokens_lost, score.tokens_repeated, score.bit_identical) == (0, 0, True)
    assert set(score.leaked.model_dump().values()) == {0}
    assert Score.model_validate_json((tmp_path / "chaos" / "score.json").read_bytes()) == score
    again = ChaosRun.resume(tmp_path / "chaos", say=lambda text: None, on_trial=lambda *_: pytest.fail("done before"))
    assert len(again.trials) == len(CLASSES)
