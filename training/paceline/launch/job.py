"""Render a run: from a resolved recipe, a dataset and a place for checkpoints to the files its processes read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.weights import find_weights
from paceline.clients.object_store import open_store
from paceline.data.ledger import genesis
from paceline.data.manifest import read_manifest
from paceline.journal.reader import read
from paceline.launch import hermetic
from paceline.models.families import FAMILIES
from paceline.plan.auto import settle
from paceline.plan.layout import derive
from paceline.recipe.load import Resolved
from paceline.recipe.method import PAIRS
from paceline.recipe.schema import Recipe
from paceline.spec.errors import CheckpointError, DataError, GraphError, LaunchError, Problem, RecipeError
from paceline.spec.events import GenerationOpened
from paceline.spec.job import FaultBudget, JobSpec, Timeouts
from paceline.spec.manifest import BaseModelRecord, DatasetManifest
from paceline.spec.names import ENV_IMAGE_DIGEST
from paceline.spec.run import JOURNAL_DIRECTORY, RUN_NAME, RunRecord

JOB_NAME = "job.json"
_LOCK_NAME = ".lock"
_KINDS = {None: "text", "sft": "conversations", "dpo": "preferences"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a person asks for. `dataset` and `checkpoints` are places that an object store can open; `min_nodes` is how
    far the run may shrink, half of `nodes` if None; `graphs` where compiled graphs are kept, beside the checkpoints if
    None."""

    name: str
    recipe: Resolved
    dataset: str
    checkpoints: str
    nodes: int
    spares: int
    workers_per_node: int = 1
    min_nodes: int | None = None
    graphs: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    fault_budget: FaultBudget = field(default_factory=FaultBudget)


def render(request: RunRequest, directory: Path) -> JobSpec:
    """Check that the run is possible and write `job.json`, `run.json` and its hermetic manifest into `directory`.

    Raises RecipeError when the ranks cannot share the global batch or there is no such model, DataError when there is
    no such dataset, CheckpointError when the recipe's weights are of another model.
    """
    settled = settle(request.recipe, nodes=request.nodes, processes_per_node=request.workers_per_node)
    request, recipe = replace(request, recipe=settled), settled.recipe
    derive(recipe, request.nodes * request.workers_per_node)
    dataset = open_store(request.dataset, DataError)
    manifest = read_manifest(dataset)
    _check_dataset(recipe, manifest, dataset.uri)
    order = genesis(
        dataset_sha256=manifest.dataset_sha256, seed=recipe.data.seed, sequence_length=recipe.data.sequence_length
    )
    _check_continuation(request, order)
    model = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=manifest.vocabulary)
    if recipe.method == "reward":
        model = replace(model, num_labels=1)
    base = None
    if recipe.model.weights is not None:
        weights, starting = find_weights(recipe.model, recipe.model.weights, manifest.vocabulary)
        base = BaseModelRecord(root=weights.store.uri, step=starting.step, weights_sha256=starting.weights_sha256)
        _check_base(request, base)
    job = JobSpec(
        run=request.name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=request.recipe.sha256,
        nodes=request.nodes,
        spares=request.spares,
        fewer_nodes=_fewer_nodes(request),
        workers_per_node=request.workers_per_node,
        dataset=dataset.uri,
        data_order=order,
        vocabulary=manifest.vocabulary,
        model=model.to_hugging_face(),
        base=base,
        checkpoints=request.checkpoints,
        graphs=_graphs(request),
        journal=str((directory / JOURNAL_DIRECTORY).absolute()),
        environment=recipe.platform.environment,
        coordinator_port=free_port(),
        image_digest=os.environ.get(ENV_IMAGE_DIGEST),
        first_generation=_next_generation(directory / JOURNAL_DIRECTORY),
        timeouts=request.timeouts,
        fault_budget=request.fault_budget,
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
        hermetic.write(directory, job, manifest, os.environ)
    except OSError as cause:
        raise LaunchError(
            f"{directory}: the run cannot be written there: {cause.strerror}",
            "choose a directory that you may write to",
        ) from cause
    return job


def _graphs(request: RunRequest) -> str | None:
    """The root of compiled graphs, if the recipe wants any."""
    if not request.recipe.recipe.platform.compile_ahead:
        if request.graphs is not None:
            raise LaunchError(
                f"--graphs {request.graphs}: this recipe compiles nothing ahead",
                "leave it out, or set accelerator to trainium",
            )
        return None
    return open_store(request.graphs or f"{request.checkpoints.rstrip('/')}-graphs", GraphError).uri


def _fewer_nodes(request: RunRequest) -> tuple[int, ...]:
    """To which numbers of nodes the run may shrink: those that can share the global batch, largest first.

    Not below half unless a person says so: with half the nodes each holds twice as much, with a quarter four times.
    """
    least = request.min_nodes if request.min_nodes is not None else (request.nodes + 1) // 2
    return tuple(n for n in range(request.nodes - 1, least - 1, -1) if _is_legal(request, n))


def _is_legal(request: RunRequest, nodes: int) -> bool:
    try:
        derive(request.recipe.recipe, nodes * request.workers_per_node)
    except RecipeError:
        return False
    return True


def _check_dataset(recipe: Recipe, manifest: DatasetManifest, where: str) -> None:
    """Whether the dataset has what the recipe wants of it; DataError says all that it lacks."""
    problems: list[Problem] = []
    wanted = None if recipe.method == "pretrain" else "dpo" if recipe.method in PAIRS else "sft"
    prepared = manifest.samples.method if manifest.samples else None
    if wanted != prepared:
        message = f"{where}: holds {_KINDS[prepared]}; method {recipe.method} learns from {_KINDS[wanted]}"
        problems.append(Problem(message=message, hint=f"prepare it with --method {recipe.method}"))
    if recipe.evaluation.every and not manifest.held_out:
        hint = "prepare it with --held-out 0.01, or set evaluation.every to 0"
        problems.append(Problem(message=f"{where}: nothing is held out for evaluation.every", hint=hint))
    if recipe.data.document_mask and manifest.end_of_text is None:
        hint = "prepare the dataset again with this version"
        problems.append(Problem(message=f"{where}: does not say which token ends a document", hint=hint))
    if problems:
        raise DataError.of(problems)


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
    per_step = request.recipe.recipe.samples_per_step
    if manifest.data_order != order or manifest.trainer.next_index != manifest.step * per_step:
        raise LaunchError(
            f"{repository.uri(manifest.step)}: was trained on other data, or in another order or batch size",
            "give another place for checkpoints, or the data.*, batch.* and dataset of the run that wrote it",
        )


def _check_base(request: RunRequest, base: BaseModelRecord) -> None:
    """Checkpoints that hold an adapter are worth nothing beside another model, and a preference is measured against
    the one that it began with."""
    repository = CheckpointRepository(open_store(request.checkpoints, CheckpointError))
    for step in repository.steps()[:1]:
        with contextlib.suppress(CheckpointError):  # damaged: the coordinator takes an older one, loudly
            before = repository.manifest(step).base
            if before is not None and before.weights_sha256 != base.weights_sha256:
                raise LaunchError(
                    f"{base.root}: is not the model that the run in {repository.store.uri} started from",
                    f"set model.weights to {before.root}, or give another place for checkpoints",
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
