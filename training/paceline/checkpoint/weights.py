"""Start from a model that exists, imported or trained: is it the one that the recipe means? No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from paceline.checkpoint.huggingface import family_of
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.models.families import FAMILIES
from paceline.recipe.schema import ModelChoice
from paceline.spec.errors import CheckpointError, Problem
from paceline.spec.manifest import BaseModelRecord, CheckpointManifest

# how to begin, how far one dared to go, and what the end was: none changes what the layers compute
_FREE = ("initializer_range", "max_position_embeddings", "router_aux_loss_coef", "num_labels")


def find_weights(choice: ModelChoice, root: str, vocabulary: int) -> tuple[CheckpointRepository, CheckpointManifest]:
    """The newest checkpoint at `root`, whose parameters a run starts from.

    Raises CheckpointError when there is none, or when its model is not the one that the recipe chose for data of
    `vocabulary` tokens. Its files are not read.
    """
    repository = CheckpointRepository(open_store(root, CheckpointError))
    steps = repository.steps()
    if not steps:
        raise CheckpointError(
            f"{root}: model.weights: no checkpoint here", "make one with `paceline checkpoint import`"
        )
    manifest = repository.manifest(steps[0])
    if problems := list(_differences(choice, manifest, repository.uri(manifest.step), vocabulary)):
        raise CheckpointError.of(problems)
    return repository, manifest


def find_base(record: BaseModelRecord) -> tuple[CheckpointRepository, CheckpointManifest]:
    """The very checkpoint that a run started from; CheckpointError when it is gone, or is another one now."""
    repository = CheckpointRepository(open_store(record.root, CheckpointError))
    manifest = repository.manifest(record.step)
    if manifest.weights_sha256 != record.weights_sha256:
        raise CheckpointError(
            f"{repository.uri(record.step)}: is not the model that training started from: its hashes are others",
            "put that model back in its place",
        )
    return repository, manifest


def _differences(choice: ModelChoice, manifest: CheckpointManifest, where: str, vocabulary: int) -> Iterator[Problem]:
    """Shapes can agree where the mathematics does not."""
    chosen = FAMILIES[choice.family].preset(choice.preset, vocabulary=vocabulary)
    document = manifest.model or {}
    family = family_of(document, where)
    if family is not type(chosen):
        yield Problem(message=f"{where}: is a {family.family}, not a {choice.family}", hint="set model.family")
        return
    stored = asdict(family.from_hugging_face(document, where))
    for name, value in asdict(chosen).items():
        if name not in _FREE and stored[name] != value:
            hint = "prepare the data with the model's tokenizer" if name == "vocab_size" else "take another preset"
            yield Problem(message=f"{where}: {name}: is {stored[name]}, model.preset asks for {value}", hint=hint)
