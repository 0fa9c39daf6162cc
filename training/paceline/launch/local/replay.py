"""Compute steps of a run again on this machine, with the processes of any other run, in a directory that goes away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.launch.job import JOB_NAME, free_port
from paceline.launch.local.run import LocalRun
from paceline.launch.replay import Plan, StepBits, note
from paceline.spec.errors import LaunchError
from paceline.spec.events import RunFinished
from paceline.spec.hermetic import NUMERIC_VARIABLES
from paceline.spec.run import JOURNAL_DIRECTORY


def replay(
    plan: Plan, checkpoints: CheckpointRepository, dataset: str, progress: Callable[[str, int, int], None]
) -> dict[int, StepBits]:
    """What the steps of `plan` give this time. LaunchError when they cannot be computed here.

    Variables that can change what is computed are those of the manifest, and no others.
    """
    recorded = plan.manifest.surroundings.environment
    own = {name: value for name, value in os.environ.items() if not name.startswith(NUMERIC_VARIABLES)}
    with tempfile.TemporaryDirectory(prefix="paceline-replay-") as scratch:
        place = Path(scratch)
        copy = CheckpointRepository(DirectoryStore(place / "checkpoints"))
        if plan.start:
            _copy(checkpoints, copy, plan.start)
        job = plan.manifest.job.model_copy(
            update={
                "nodes": plan.nodes,
                "spares": 0,
                "fewer_nodes": (),
                "dataset": dataset,
                "checkpoints": copy.store.uri,
                "journal": str(place / JOURNAL_DIRECTORY),
                "coordinator_port": free_port(),
                "first_generation": 0,
            }
        )
        (place / JOURNAL_DIRECTORY).mkdir()
        (place / JOB_NAME).write_text(job.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return _watch(LocalRun(job, place, own | recorded), plan, progress)


def _watch(local: LocalRun, plan: Plan, progress: Callable[[str, int, int], None]) -> dict[int, StepBits]:
    """The run trains on until it has said all that there is to know, and is ended then."""
    replayed: dict[int, StepBits] = {}
    with local:
        for event in local.events():
            note(replayed, event)
            newest = max((number for number in replayed if number <= plan.step), default=plan.start)
            progress("replay", newest - plan.start, plan.step - plan.start)
            if plan.is_answered(replayed):
                return replayed
            if isinstance(event, RunFinished):
                raise LaunchError(f"replay of step {plan.step}: {event.reason or event.outcome}", event.hint)
    raise AssertionError("events end with the end of the run")


def _copy(source: CheckpointRepository, target: CheckpointRepository, step: int) -> None:
    manifest = source.manifest(step)
    folder = target.uri(step).rpartition("/")[2]
    for file in manifest.everything:
        target.store.put(f"{folder}/{file.name}", source.read(step, file))
    target.commit(manifest)
