"""What a chaos run that was interrupted knows of its earlier sittings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.chaos.base import Leg
from paceline.chaos.run import TRIALS_NAME, VERDICT_NAME, ChaosRun
from paceline.chaos.schedule import Plan, schedule
from paceline.chaos.score import Trial
from paceline.chaos.verdict import LegVerdict
from paceline.spec.errors import LaunchError

PLAN = Plan(seed=0, faults=3, classes=("worker_kill",))


def trial(number: int) -> Trial:
    return Trial(
        number=number,
        fault="worker_kill",
        leg="fleet",
        detect_seconds=0.1,
        localised=True,
        recover_seconds=0.4,
        lost_steps=0,
        false_actions=0,
        seconds=4.0,
    )


def begun(directory: Path) -> ChaosRun:
    return ChaosRun.begin(directory, PLAN, say=lambda text: None, on_trial=lambda *_: None)


def resumed(directory: Path) -> ChaosRun:
    return ChaosRun.resume(directory, say=lambda text: None, on_trial=lambda *_: None)


@pytest.mark.parametrize("kept", range(0, 400, 7))
def test_a_record_that_was_cut_off_anywhere_holds_the_faults_that_were_over(tmp_path: Path, kept: int) -> None:
    begun(tmp_path)
    lines = "".join(trial(number).model_dump_json() + "\n" for number in range(2))
    (tmp_path / TRIALS_NAME).write_text(lines[:kept])
    assert [t.number for t in resumed(tmp_path).trials] == list(range(lines[:kept].count("\n")))
    again = resumed(tmp_path)
    again._note(trial(2))
    assert [t.number for t in resumed(tmp_path).trials] == [t.number for t in again.trials]


def test_a_run_begun_anew_knows_nothing_of_the_one_before(tmp_path: Path) -> None:
    begun(tmp_path)._note(trial(0))
    assert begun(tmp_path).trials == []


def test_a_leg_that_was_judged_is_not_judged_again_and_its_time_counts(tmp_path: Path) -> None:
    chaos = begun(tmp_path)
    nothing: Any = None
    verdict = LegVerdict(
        steps=9, tokens=9, tokens_lost=0, tokens_repeated=0, difference=None, bit_identical=True, seconds=7.5
    )
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / VERDICT_NAME).write_text(verdict.model_dump_json())
    assert chaos._leg(Leg.FLEET, schedule(PLAN), nothing) == verdict
    for number in range(3):
        chaos._note(trial(number))
    assert resumed(tmp_path)._score({Leg.FLEET: verdict}).wall_seconds == 3 * 4.0 + 7.5


def test_nothing_can_be_resumed_where_nothing_was_begun(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="no chaos run was begun there"):
        resumed(tmp_path)
