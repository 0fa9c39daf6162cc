"""Verify: proves what happened, and names the first step that did not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli.data import app
from paceline.data.index import TokenDataset
from paceline.data.ledger import LedgerEntry, replay
from paceline.data.order import SampleOrder
from paceline.data.verify import read_consumed, read_run, verify_run
from paceline.journal.writer import Journal
from paceline.spec.errors import DataError
from paceline.spec.events import DataConsumed, PhaseChanged
from paceline.spec.manifest import TrainerState
from paceline.spec.run import RunRecord

SEQUENCES = 6
LENGTH = 16


class Run:
    """A run directory, written as a run would write it."""

    def __init__(self, directory: Path, dataset_directory: Path) -> None:
        self.directory = directory
        self.dataset = TokenDataset.open(dataset_directory, sequence_length=LENGTH, verify=False)
        self.record = RunRecord(
            run="r",
            recipe={"name": "debug"},
            dataset=str(dataset_directory),
            dataset_sha256=self.dataset.manifest.dataset_sha256,
            sequence_length=LENGTH,
            seed=4,
            sequences_per_step=SEQUENCES,
        )
        order = SampleOrder(seed=4, num_samples=self.dataset.num_windows)
        self.entries = list(replay(self.dataset, order, steps=10, sequences_per_step=SEQUENCES))
        directory.mkdir()
        (directory / "run.json").write_text(self.record.model_dump_json())

    def consumed(self, *entries: LedgerEntry, producer: str = "node-0", generation: int = 0, **changes: Any) -> None:
        journal = Journal(self.directory / "journal", run="r", producer=producer, node=producer)
        journal.generation = generation
        journal.emit(PhaseChanged, activity="productive")
        for e in entries:
            fields = {name: getattr(e, name) for name in ("step", "first_index", "count", "digest", "head")}
            journal.emit(DataConsumed, **(fields | changes))
        journal.close()

    def verify(self, *states: TrainerState) -> Any:
        return verify_run(self.dataset, read_run(self.directory), read_consumed(self.directory), states)


@pytest.fixture
def run(tmp_path: Path, dataset_directory: Path) -> Run:
    return Run(tmp_path / "run", dataset_directory)


def state(entry: LedgerEntry, **changes: Any) -> TrainerState:
    done = entry.step + 1
    fields = {
        "step": done,
        "tokens": done * SEQUENCES * LENGTH,
        "next_index": done * SEQUENCES,
        "ledger": entry.head,
    }
    return TrainerState(**(fields | changes))


def test_a_run_without_a_fault_is_proved(run: Run) -> None:
    run.consumed(*run.entries)
    report = run.verify(state(run.entries[4]), state(run.entries[9]))
    assert report.difference is None
    assert (report.steps, report.recorded_steps, report.repeated_steps) == (10, 10, 0)
    assert report.tokens == 10 * SEQUENCES * LENGTH
    assert report.head == run.entries[-1].head


def test_a_healed_run_is_proved_and_its_repeated_steps_counted(run: Run) -> None:
    run.consumed(*run.entries[:6])
    run.consumed(*run.entries[5:], producer="node-2", generation=1)
    report = run.verify()
    assert report.difference is None
    assert (report.steps, report.repeated_steps) == (10, 1)


def test_a_step_nobody_lived_to_record_is_proved_by_the_next_head(run: Run) -> None:
    run.consumed(*run.entries[:5], *run.entries[6:])
    report = run.verify()
    assert report.difference is None
    assert (report.steps, report.recorded_steps) == (10, 9)


def test_a_step_that_was_skipped_is_found(run: Run) -> None:
    shifted = replay(
        run.dataset, SampleOrder(seed=9, num_samples=run.dataset.num_windows), steps=7, sequences_per_step=SEQUENCES
    )
    run.consumed(*run.entries[:5])
    run.consumed(list(shifted)[6], generation=1)
    report = run.verify()
    assert report.different_step == 6
    assert report.difference.startswith("digest is ")


@pytest.mark.parametrize(
    ("field", "value"), [("first_index", 1), ("count", 5), ("digest", "0" * 64), ("head", "f" * 64)]
)
def test_the_first_step_that_differs_is_named(run: Run, field: str, value: Any) -> None:
    run.consumed(*run.entries)
    run.consumed(run.entries[3], producer="node-1", generation=2, **{field: value})
    report = run.verify()
    assert (report.different_step, report.steps, report.head) == (3, 3, run.entries[2].head)
    assert report.difference == (
        f"{field} is {value} as node-1, generation 2 recorded it, the replay gives {getattr(run.entries[3], field)}"
    )


@pytest.mark.parametrize(("field", "value"), [("tokens", 1), ("next_index", 7), ("ledger", "f" * 64)])
def test_a_checkpoint_with_another_position_is_found(run: Run, field: str, value: Any) -> None:
    run.consumed(*run.entries)
    report = run.verify(state(run.entries[7], **{field: value}))
    assert report.different_step == 7
    assert report.difference.startswith(f"{field} is {value} in the checkpoint after this step")


def test_a_torn_last_line_is_passed_over_and_any_other_is_named(run: Run) -> None:
    run.consumed(*run.entries)
    path = run.directory / "journal" / "node-0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-9])
    assert run.verify().steps == 9
    lines[4] = lines[4].replace(b'"count":6', b'"count":"six"')
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=r"node-0\.jsonl:5: "):
        run.verify()


def test_another_dataset_is_refused(run: Run, tmp_path: Path, prepare_into: Any) -> None:
    run.consumed(*run.entries)
    prepare_into(tmp_path / "other", seed=1)
    other = TokenDataset.open(tmp_path / "other", sequence_length=LENGTH, verify=False)
    with pytest.raises(DataError, match="r: trained on dataset"):
        verify_run(other, run.record, read_consumed(run.directory))


def test_a_run_that_recorded_nothing_is_refused(run: Run) -> None:
    with pytest.raises(DataError, match="records no step"):
        run.verify()


@pytest.mark.parametrize("content", [None, "{}", "{"])
def test_what_is_not_a_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match="not a run"):
        read_run(tmp_path)


def test_the_command_prints_the_proof(run: Run) -> None:
    run.consumed(*run.entries)
    result = CliRunner().invoke(app, ["verify", str(run.directory), "-o", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 10


def test_the_command_takes_what_a_node_had_fetched_from_a_bucket(run: Run, dataset_directory: Path) -> None:
    run.consumed(*run.entries)
    elsewhere = run.record.model_copy(update={"dataset": "s3://gone/dataset"}).model_dump_json()
    (run.directory / "run.json").write_text(elsewhere)
    refused = CliRunner().invoke(app, ["verify", str(run.directory)])
    assert isinstance(refused.exception, DataError) and "s3://gone/dataset is not on this machine" in str(
        refused.exception
    )
    shutil.copytree(dataset_directory, run.directory / "nodes" / "node-0" / "data")
    assert CliRunner().invoke(app, ["verify", str(run.directory)]).exit_code == 0


def test_the_command_fails_on_a_difference(run: Run) -> None:
    run.consumed(*run.entries[:3], digest="0" * 64)
    result = CliRunner().invoke(app, ["verify", str(run.directory)])
    assert isinstance(result.exception, DataError)
    assert "step 0: digest is 000" in str(result.exception)


def test_the_command_finds_a_dataset_relative_to_the_run(run: Run, dataset_directory: Path) -> None:
    run.consumed(*run.entries)
    (run.directory / "run.json").write_text(
        run.record.model_copy(update={"dataset": f"../{dataset_directory.name}"}).model_dump_json()
    )
    assert CliRunner().invoke(app, ["verify", str(run.directory)]).exit_code == 0
    moved = dataset_directory.rename(dataset_directory.parent / "moved")
    result = CliRunner().invoke(app, ["verify", str(run.directory)])
    assert "no dataset here" in str(result.exception)
    assert CliRunner().invoke(app, ["verify", str(run.directory), "--dataset", str(moved)]).exit_code == 0
