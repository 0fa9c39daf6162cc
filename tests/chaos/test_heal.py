"""Processes are killed for real; the run heals, and its result is the one of a run without a fault."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.data.index import TokenDataset
from paceline.data.verify import read_consumed, read_run, verify_run
from paceline.launch.local.run import LocalRun
from paceline.spec.events import (
    CheckpointCommitted,
    CheckpointFailed,
    CheckpointRejected,
    CheckpointRestored,
    FaultDetected,
    GenerationOpened,
    StepFinished,
)
from paceline.supervise.fork_server import workers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]
Outcome = Any
Train = Callable[..., Any]


def kill_rank_1_node(run: LocalRun, ranks: dict[int, str]) -> None:
    run.kill_node(ranks[1])


def kill_one_worker(run: LocalRun, ranks: dict[int, str]) -> None:
    """SIGKILL to the process that trains, not to its node."""
    os.kill(workers(run.nodes[ranks[0]].pid)[0], signal.SIGKILL)


def kill_the_coordinator(run: LocalRun, ranks: dict[int, str]) -> None:
    run.kill_coordinator()


def assert_healed_from_memory(outcome: Outcome) -> None:
    assert outcome.finished.outcome == "completed"
    first, second = outcome.of(GenerationOpened)
    assert first.restore_from == "nothing"
    assert second.restore_from == "memory"
    done_before = max(e.step for e in outcome.of(StepFinished) if e.generation == 0)
    assert done_before - second.restore_step <= 1
    assert {e.source for e in outcome.of(CheckpointRestored)} == {"memory"}


def assert_no_token_lost_or_repeated(outcome: Outcome, dataset: Path) -> None:
    record = read_run(outcome.directory)
    data = TokenDataset.open(dataset, sequence_length=record.sequence_length, verify=True)
    states = [outcome.repository.manifest(step).trainer for step in outcome.repository.steps()]
    report = verify_run(data, record, list(read_consumed(outcome.directory)), states)
    assert report.difference is None
    assert report.steps == outcome.finished.step


def test_a_fault_changes_no_bit(train: Train, dataset: Path) -> None:
    """The promise of the project: with a node killed and without, same losses, same parameters, same data."""
    undisturbed = train("undisturbed", spares=0)
    disturbed = train("disturbed", at=5, strike=kill_rank_1_node)
    assert undisturbed.finished.outcome == "completed"
    assert_healed_from_memory(disturbed)
    assert [f.fault for f in disturbed.of(FaultDetected)] == ["node lost"]
    assert disturbed.losses() == undisturbed.losses()
    assert disturbed.parameters() == undisturbed.parameters()
    assert_no_token_lost_or_repeated(disturbed, dataset)


def test_a_killed_worker_is_replaced_on_its_own_node(train: Train, dataset: Path) -> None:
    outcome = train("worker", at=4, strike=kill_one_worker, spares=0)
    assert_healed_from_memory(outcome)
    first, second = outcome.of(GenerationOpened)
    assert first.ranks == second.ranks
    assert_no_token_lost_or_repeated(outcome, dataset)


def test_training_does_not_notice_the_loss_of_the_coordinator(train: Train) -> None:
    outcome = train("coordinator", at=4, strike=kill_the_coordinator, spares=0, overrides=["schedule.steps=60"])
    assert outcome.finished.outcome == "completed"
    assert outcome.finished.step == 60
    assert len(outcome.of(GenerationOpened)) == 1
    assert outcome.of(FaultDetected) == []
    assert outcome.repository.steps()[0] == 60


def test_a_stopped_run_resumes_to_the_same_end(train: Train, dataset: Path) -> None:
    whole = train("whole", spares=0)
    stopped = train("parts", at=5, strike=lambda run, ranks: run.request_stop(), spares=0)
    assert stopped.finished.outcome == "stopped"
    assert 5 <= stopped.finished.step < 12
    resumed = train("parts", spares=0)
    assert resumed.of(GenerationOpened)[0].restore_step == stopped.finished.step
    assert resumed.of(GenerationOpened)[0].generation == 1
    assert {**stopped.losses(), **resumed.losses()} == whole.losses()
    assert resumed.parameters() == whole.parameters()
    assert_no_token_lost_or_repeated(resumed, dataset)


def test_a_truncated_checkpoint_is_refused_and_the_older_one_taken(train: Train) -> None:
    outcome = train("damaged", spares=0)
    newest, older = outcome.repository.steps()[:2]
    [victim] = (outcome.directory / "checkpoints" / f"step-{newest:08d}").glob("rank-00001.*")
    victim.write_bytes(victim.read_bytes()[:-1])
    again = train("damaged", spares=0)
    rejected = again.of(CheckpointRejected)
    assert [(r.step, "truncated" in r.reason) for r in rejected] == [(newest, True)]
    assert again.of(GenerationOpened)[0].restore_step == older
    assert again.finished.outcome == "completed"
    assert again.parameters() == outcome.parameters()


def test_a_checkpoint_that_cannot_be_saved_costs_only_itself(train: Train, tmp_path: Path) -> None:
    """The folder of step 4 is taken by a file, as a full or read-only disk would refuse it."""
    (tmp_path / "refused" / "checkpoints").mkdir(parents=True)
    (tmp_path / "refused" / "checkpoints" / "step-00000004").write_text("in the way")
    outcome = train("refused", spares=0)
    assert {f.step for f in outcome.of(CheckpointFailed)} == {4}
    assert [c.step for c in outcome.of(CheckpointCommitted)] == [8, 12]
    assert outcome.finished.outcome == "completed"


def test_an_altered_data_shard_stops_the_run_before_it_trains(train: Train, dataset: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    altered.mkdir()
    for file in dataset.iterdir():
        content = bytearray(file.read_bytes())
        if file.name.startswith("tokens-"):
            content[100] ^= 1
        (altered / file.name).write_bytes(content)
    outcome = train("altered-run", data=altered)
    assert outcome.finished.outcome == "failed"
    assert "tokens-00000" in (outcome.finished.reason or "") and "altered" in (outcome.finished.reason or "")
    assert outcome.finished.hint
    assert outcome.of(StepFinished) == []


def test_a_bug_stops_the_run_with_its_cause_instead_of_restarting_for_ever(train: Train, dataset: Path) -> None:
    """A tokenizer with more tokens than the job says: every generation fails in its first step."""

    outcome = train("bug", spares=0, overrides=["data.sequence_length=64"], vocabulary=10)
    assert outcome.finished.outcome == "failed"
    assert "failed 3 times at the same step" in (outcome.finished.reason or "")
    assert "index out of range" in (outcome.finished.reason or "")
    assert len(outcome.of(GenerationOpened)) == 3
