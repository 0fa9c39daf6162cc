"""The end of a leg: whether it consumed every token once, and whether it came out as a run without faults."""

from __future__ import annotations

import os
import time
from pathlib import Path

from paceline.chaos.base import Leg
from paceline.chaos.legs import LEGS, undisturbed
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.data.index import TokenDataset
from paceline.data.verify import read_consumed, read_run, read_states, verify_run
from paceline.launch.job import render
from paceline.launch.local.run import LocalRun
from paceline.spec.base import Record
from paceline.spec.errors import CheckpointError, LaunchError
from paceline.spec.manifest import CheckpointManifest


class LegVerdict(Record):
    """`difference` is where the record of the data first departs from a replay, None where it is proved to the end;
    then no token was lost or repeated. `bit_identical` is None where the world was not kept. `seconds` went by since
    the last fault was over."""

    steps: int
    tokens: int
    tokens_lost: int
    tokens_repeated: int
    difference: str | None
    bit_identical: bool | None
    seconds: float


def judge_leg(leg: Leg, directory: Path, dataset: Path, checkpoints: str, *, since: float) -> LegVerdict:
    """Read what the run in `directory` has left, and train the same steps again undisturbed if that can be compared.
    `since` is when its last fault was over, by the machine's monotonic clock.

    Raises CheckpointError when it has left no checkpoint.
    """
    final = _newest(checkpoints)
    record = read_run(directory)
    data = TokenDataset.open(dataset, sequence_length=record.sequence_length, verify=True)
    report = verify_run(data, record, read_consumed(directory), [*read_states(checkpoints), final.trainer])
    wanted, per_step = final.step, record.sequences_per_step * record.sequence_length
    return LegVerdict(
        steps=wanted,
        tokens=wanted * per_step,
        tokens_lost=max(0, wanted * per_step - report.tokens),
        tokens_repeated=max(0, final.trainer.next_index * record.sequence_length - wanted * per_step),
        difference=report.difference,
        bit_identical=_is_as_undisturbed(leg, directory, dataset, final) if LEGS[leg].keeps_world else None,
        seconds=time.monotonic() - since,
    )


def _is_as_undisturbed(leg: Leg, directory: Path, dataset: Path, final: CheckpointManifest) -> bool:
    beside = directory.with_name(f"{directory.name}-undisturbed")
    checkpoints = str((beside / "checkpoints").absolute())
    job = render(undisturbed(leg, dataset, checkpoints, steps=final.step), beside)
    with LocalRun(job, beside, os.environ) as local:
        for _ in local.events():
            pass
        local.wait()
    twin = _newest(checkpoints)
    if twin.step != final.step:
        raise LaunchError(
            f"{beside}: the undisturbed run ended at step {twin.step} of {final.step}", "see its coordinator.log"
        )
    return [(f.rank, f.sha256) for f in twin.files] == [(f.rank, f.sha256) for f in final.files]


def _newest(checkpoints: str) -> CheckpointManifest:
    repository = CheckpointRepository(open_store(checkpoints, CheckpointError))
    newest = repository.newest(lambda step, uri, reason: None)
    if newest is None:
        raise CheckpointError(f"{checkpoints}: the run has left no checkpoint", "see the logs of the run")
    return newest
