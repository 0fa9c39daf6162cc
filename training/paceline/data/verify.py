"""Prove after a run that it consumed what it should have: hold its recorded ledger against a replay from the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from paceline.clients.object_store import open_store
from paceline.data.index import TokenDataset
from paceline.data.ledger import LedgerEntry, replay
from paceline.data.mixture import order_of
from paceline.data.progress import Progress, silent
from paceline.spec.errors import DataError
from paceline.spec.events import DataConsumed
from paceline.spec.manifest import MANIFEST_NAME, CheckpointManifest, TrainerState
from paceline.spec.run import JOURNAL_DIRECTORY, RUN_NAME, RunRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerReport:
    """The outcome of a comparison over steps [0, steps), which consumed `tokens` and end with `head`.

    A step that nobody lived to record is proved by the head of a later one. `repeated_steps` were run again after a
    rollback. `different_step` is the first step whose record is not what the replay gives, and `difference` says how;
    both are None for a run that is proved, else `steps`, `tokens` and `head` are of the part before.
    """

    run: str
    steps: int
    tokens: int
    recorded_steps: int
    repeated_steps: int
    head: str
    different_step: int | None = None
    difference: str | None = None


def verify_run(
    dataset: TokenDataset,
    record: RunRecord,
    events: Iterable[DataConsumed],
    states: Iterable[TrainerState] = (),
    *,
    progress: Progress = silent,
) -> LedgerReport:
    """Compare all recorded steps, each time they ran, and the `states` of the run's checkpoints with the replay.

    DataError if nothing was recorded, or if `dataset` is not the one of the run.
    """
    if dataset.manifest.dataset_sha256 != record.dataset_sha256:
        raise DataError(
            f"{record.run}: trained on dataset {record.dataset_sha256}, not on {dataset.manifest.dataset_sha256}",
            "point at the dataset of the run with --dataset",
        )
    recorded: dict[int, list[DataConsumed]] = defaultdict(list)
    for event in events:
        recorded[event.step].append(event)
    if not recorded:
        raise DataError(f"{record.run}: its journal records no step", "verify a run that has finished a step")
    saved = {state.step - 1: state for state in states}
    order = order_of(dataset, record.seed)
    tokens_per_step = record.sequences_per_step * record.sequence_length
    steps = max([*recorded, *saved]) + 1
    head, done, difference = "", 0, None
    for entry in replay(dataset, order, steps=steps, sequences_per_step=record.sequences_per_step):
        progress("replay", entry.step, steps)
        difference = _event_difference(entry, recorded.get(entry.step, ()))
        if difference is None and entry.step in saved:
            difference = _state_difference(entry, saved[entry.step], tokens_per_step)
        if difference is not None:
            break
        head, done = entry.head, entry.step + 1
    progress("replay", done, steps)
    return LedgerReport(
        run=record.run,
        steps=done,
        tokens=done * tokens_per_step,
        recorded_steps=len(recorded),
        repeated_steps=sum(len({e.generation for e in again}) > 1 for again in recorded.values()),
        head=head,
        different_step=None if difference is None else done,
        difference=difference,
    )


def read_run(directory: Path) -> RunRecord:
    """The record of the run in `directory`; DataError if there is none."""
    path = directory / RUN_NAME
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise DataError(f"{directory}: not a run: there is no {RUN_NAME}", "give the directory of a run") from cause
    except ValidationError as cause:
        raise DataError(
            f"{path}: not a run record: {cause.errors()[0]['msg']}", "give the directory of a run"
        ) from cause


def read_consumed(directory: Path) -> Iterator[DataConsumed]:
    """The `data.consumed` events of the run in `directory`, from the journals of all producers.

    The last line of a producer that was killed may be torn; it is passed over. Any other line that is no event is a
    DataError that names its file and line.
    """
    for path in sorted((directory / JOURNAL_DIRECTORY).glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
            if b'"data.consumed"' not in line or not line.endswith(b"\n"):
                continue
            try:
                yield DataConsumed.model_validate_json(line)
            except ValidationError as cause:
                raise DataError(
                    f"{path}:{number}: not a {DataConsumed.__name__} event: {cause.errors()[0]['msg']}",
                    "the journal was edited or damaged; restore it from a copy",
                ) from cause


def read_states(checkpoints: str) -> Iterator[TrainerState]:
    """What the trainer knew in each of the checkpoints at `checkpoints`; none where there is no such place."""
    store = open_store(checkpoints, DataError)
    for key in store.list():
        if key.endswith(f"/{MANIFEST_NAME}"):
            try:
                yield CheckpointManifest.from_file(store.get(key)).trainer
            except ValueError as cause:
                raise DataError(
                    f"{store.uri}/{key}: not a checkpoint's manifest: it is damaged",
                    "remove that checkpoint, or restore it from a copy",
                ) from cause


def _event_difference(entry: LedgerEntry, events: Iterable[DataConsumed]) -> str | None:
    for event in events:
        for field in ("first_index", "count", "digest", "head"):
            recorded, expected = getattr(event, field), getattr(entry, field)
            if recorded != expected:
                where = f"{event.producer}, generation {event.generation}"
                return f"{field} is {recorded} as {where} recorded it, the replay gives {expected}"
    return None


def _state_difference(entry: LedgerEntry, state: TrainerState, tokens_per_step: int) -> str | None:
    expected = TrainerState(
        step=entry.step + 1,
        tokens=(entry.step + 1) * tokens_per_step,
        next_index=entry.first_index + entry.count,
        ledger=entry.head,
    )
    for field in ("tokens", "next_index", "ledger"):
        saved, replayed = getattr(state, field), getattr(expected, field)
        if saved != replayed:
            return f"{field} is {saved} in the checkpoint after this step, the replay gives {replayed}"
    return None
