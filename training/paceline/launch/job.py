"""Render a run: from a resolved recipe, a dataset and a place for checkpoints to the files its processes read."""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from paceline.clients.object_store import open_store
from paceline.data.manifest import read_manifest
from paceline.plan.layout import derive
from paceline.recipe.load import Resolved
from paceline.spec.errors import DataError, LaunchError
from paceline.spec.job import JobSpec, Timeouts
from paceline.spec.run import JOURNAL_DIRECTORY, RUN_NAME, RunRecord

JOB_NAME = "job.json"


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

    Raises RecipeError when the ranks cannot share the global batch, DataError when there is no such dataset.
    """
    recipe = request.recipe.recipe
    derive(recipe, request.nodes * request.workers_per_node)
    manifest = read_manifest(open_store(request.dataset, DataError))
    job = JobSpec(
        run=request.name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=request.recipe.sha256,
        nodes=request.nodes,
        spares=request.spares,
        workers_per_node=request.workers_per_node,
        dataset=request.dataset,
        dataset_sha256=manifest.dataset_sha256,
        vocabulary=manifest.vocabulary,
        checkpoints=request.checkpoints,
        journal=str((directory / JOURNAL_DIRECTORY).absolute()),
        coordinator_port=free_port(),
        timeouts=request.timeouts,
    )
    record = RunRecord(
        run=request.name,
        recipe=job.recipe,
        dataset=request.dataset,
        dataset_sha256=manifest.dataset_sha256,
        sequence_length=recipe.data.sequence_length,
        seed=recipe.data.seed,
        sequences_per_step=recipe.sequences_per_step,
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / JOB_NAME).write_text(job.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (directory / RUN_NAME).write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    except OSError as cause:
        raise LaunchError(
            f"{directory}: the run cannot be written there: {cause.strerror}",
            "choose a directory that you may write to",
        ) from cause
    return job


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def new_token() -> str:
    """The secret that the processes of one run share; it is never written to a file."""
    return secrets.token_hex(16)
