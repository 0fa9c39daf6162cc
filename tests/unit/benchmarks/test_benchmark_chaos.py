"""The chaos score as a table, and a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import chaos
from paceline.chaos.leaks import Leaks
from paceline.chaos.registry import fault_classes
from paceline.chaos.run import ChaosRun, Score
from paceline.chaos.schedule import Plan
from paceline.chaos.score import Trial, score


def trial(number: int, recover: float) -> Trial:
    return Trial(
        number=number,
        fault="worker_kill",
        leg="fleet",
        detect_seconds=0.1,
        localised=True,
        recover_seconds=recover,
        lost_steps=number,
        false_actions=0,
        seconds=4.5,
    )


def found(plan: Plan) -> Score:
    trials = [trial(0, 0.5), trial(1, 0.7), trial(2, 9.0)]
    return Score(
        plan=plan,
        classes={"worker_kill": score(trials, signs=("fault.detected",), heals=True)},
        tokens_lost=0,
        tokens_repeated=0,
        bit_identical=True,
        leaked=Leaks(processes=0, segments=0, ports=0, files=0),
        legs={},
        wall_seconds=60.0,
    )


def test_a_class_is_a_row_of_how_many_and_of_their_percentiles() -> None:
    told = chaos.report(found(Plan(seed=0, faults=3, classes=("worker_kill",))))
    row = dict(zip(told.table.columns, told.table.rows[0], strict=True))
    assert (row["class"], row["struck"], row["recovered"]) == ("worker_kill", "3", "3")
    assert told.table.rows[0][5:9] == ("0.10", "0.10", "0.70", "9.00")
    assert (row["lost steps, most"], row["ended the run"], row["trial p50"]) == ("2", "0", "4.50")


def test_an_interrupted_run_goes_on_where_as_many_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_before = []

    def interrupted(run: ChaosRun) -> Any:
        done_before.append(len(run.trials))
        run._note(trial(len(run.trials), 0.5))
        raise KeyboardInterrupt

    monkeypatch.setattr(chaos, "DIRECTORY", tmp_path / "bench")
    monkeypatch.setattr(ChaosRun, "run", interrupted)
    for repeat in (2, 2, 3, 3):
        with pytest.raises(KeyboardInterrupt):
            chaos.measure(repeat, lambda line: None)
    assert done_before == [0, 1, 0, 1]
    classes = tuple(fault_classes())
    monkeypatch.setattr(ChaosRun, "run", lambda run: found(Plan(seed=0, faults=1, classes=classes)))
    assert chaos.measure(3, lambda line: None).table.rows
    assert not (tmp_path / "bench").exists()
