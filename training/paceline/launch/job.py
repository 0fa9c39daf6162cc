"""Render a run: from a resolved recipe, a dataset and a place for checkpoints to the files its processes read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.weights import find_weights
from paceline.clients.object_store import open_store
from paceline.data.ledger import genesis
from paceline.data.manifest import read_manifest
from paceline.journal.reader import read
from paceline.models.families import FAMILIES
from paceline.plan.layout import derive
from paceline.recipe.load import Resolved
from paceline.spec.errors import CheckpointError, DataError, LaunchError
from paceline.spec.events import GenerationOpened
from paceline.spec.job import JobSpec, Timeouts
from paceline.spec.run import JOURNAL_DIRECTORY, RUN_NAME, RunRecord

JOB_NAME = "job.json"
_LOCK_NAME = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a person asks for. `dataset` and `checkpoints` are places that an object store can open."""

    name: str
    recipe: Resolved
    dataset: str
    checkpoints: str
    nodes: int
    spares: int
    workers_per_node: int = 1
    timeouts: Timeouts = field(default_factory=Timeouts)


def render(request: RunRequest, directory: Path) -> JobSpec:
    """Check that the run is possible and write `job.json` and `run.json` into `directory`.

    Raises RecipeError when the ranks cannot share the global batch or there is no such model, DataError when there is
    no such dataset, CheckpointError when the recipe's weights are of another model.
    """
    recipe = request.recipe.recipe
    derive(recipe, request.nodes * request.workers_per_node)
    dataset = open_store(request.dataset, DataError)
    manifest = read_manifest(dataset)
    order = genesis(
        dataset_sha256=manifest.dataset_sha256, seed=recipe.data.seed, sequence_length=recipe.data.sequence_length
    )
    _check_continuation(request, order)
    model = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=manifest.vocabulary)
    if recipe.model.weights is not None:
        find_weights(recipe.model, recipe.model.weights, manifest.vocabulary)
    job = JobSpec(
        run=request.name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=request.recipe.sha256,
        nodes=request.nodes,
        spares=request.spares,
        workers_per_node=request.workers_per_node,
        dataset=dataset.uri,
        data_order=order,
        vocabulary=manifest.vocabulary,
        model=model.to_hugging_face(),
        checkpoints=request.checkpoints,
        journal=str((directory / JOURNAL_DIRECTORY).absolute()),
        coordinator_port=free_port(),
        first_generation=_next_generation(directory / JOURNAL_DIRECTORY),
        timeouts=request.timeouts,
    )
    record = RunRecord(
        run=request.name,
        recipe=job.recipe,
        dataset=dataset.uri,
        dataset_sha256=manifest.dataset_sha256,
        sequence_length=recipe.data.sequence_length,
        seed=recipe.data.seed,
        sequences_per_step=recipe.sequences_per_step,
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        os.close(claim(directory))
        (directory / JOB_NAME).write_text(job.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (directory / RUN_NAME).write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    except OSError as cause:
        raise LaunchError(
            f"{directory}: the run cannot be written there: {cause.strerror}",
            "choose a directory that you may write to",
        ) from cause
    return job


def _check_continuation(request: RunRequest, order: str) -> None:
    """A run goes on from what lies at its checkpoints' place; refuse when that consumed other data, or otherwise."""
    repository = CheckpointRepository(open_store(request.checkpoints, CheckpointError))
    steps = repository.steps()
    if not steps:
        return
    try:
        manifest = repository.manifest(steps[0])
    except CheckpointError:
        return  # damaged: the coordinator takes an older one, loudly
    per_step = request.recipe.recipe.sequences_per_step
    if manifest.data_order != order or manifest.trainer.next_index != manifest.step * per_step:
        raise LaunchError(
            f"{repository.uri(manifest.step)}: was trained on other data, or in another order or batch size",
            "give another place for checkpoints, or the data.*, batch.* and dataset of the run that wrote it",
        )


def _next_generation(journal: Path) -> int:
    """One above the generations that earlier parts of the run opened."""
    opened = [e.generation for e in read(journal).events if isinstance(e, GenerationOpened)] if journal.is_dir() else []
    return max((g for g in opened if g is not None), default=-1) + 1


def claim(directory: Path) -> int:
    """Take a run's directory for this process, until it ends or closes the descriptor that is returned.

    Raises LaunchError when another process has it: two runs would write one journal and the same checkpoints.
    """
    descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        os.close(descriptor)
        raise LaunchError(
            f"{directory}: a run is under way in it", "wait for its end, or give this run another directory"
        ) from cause
    return descriptor


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def new_token() -> str:
    """The secret that the processes of one run share; it is never written to a file."""
    return secrets.token_hex(16)
