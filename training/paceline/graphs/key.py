"""What graphs are made from, and the key under which runs that are made from the same find them. Pure.

Neuron itself finds a graph in its cache by a hash of the graph and of the compiler's flags, so that a key which forgets
something never gives a wrong graph: it gives one that is missing, and that is told (`compile.missed`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import paceline
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from paceline.spec.errors import GraphError
from paceline.spec.job import JobSpec

COMPILER = "neuronx-cc"
_PACKAGES = (COMPILER, "libneuronxla", "neuronx-distributed", "torch", "torch-neuronx", "torch-xla")

# aws-neuron-sdk, frameworks/torch/torch-neuronx/api-reference-guide/training/torch-neuron-envvars.rst, and what the
# image sets (images/trainium/environment)
_VARIABLES = ("NEURON_CC_FLAGS", "NEURON_FUSE_SOFTMAX", "NEURON_LOGICAL_NC_CONFIG", "XLA_DISABLE_FUNCTIONALIZATION")


def made_from(job: JobSpec, environment: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, Any]:
    """All that the graphs of `job` depend on, as far as we know, where workers see `environment` and `versions`.

    The learning rate, the seed, the schedule and the data are not in the graphs, nor is how many steps there are.
    """
    recipe = Recipe.model_validate(job.recipe)
    layout = derive(recipe, job.world_size)
    part = recipe.model_dump(mode="json", include={"method", "preference", "adapter", "compute", "optimizer"})
    del part["optimizer"]["learning_rate"]
    return {
        "paceline": paceline.__version__,
        "versions": dict(versions),
        "variables": {name: environment[name] for name in _VARIABLES if name in environment},
        "layout": {"world_size": job.world_size, "processes_per_node": job.workers_per_node, **layout.degrees},
        "shapes": {
            "passes": layout.micro_steps,
            "sequences": layout.micro_sequences,
            "positions": recipe.data.sequence_length,
            "vocabulary": job.vocabulary,
        },
        "model": job.model,
        "recipe": part
        | {
            "sequence_parallel": recipe.parallelism.sequence_parallel,
            "document_mask": recipe.data.document_mask,
            "evaluates": recipe.evaluation.every > 0,
        },
    }


def key_of(ingredients: Mapping[str, Any]) -> str:
    """SHA-256 of what `made_from` gives, however it is ordered."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def installed() -> dict[str, str]:
    """The versions here that have a part in a graph; GraphError where there is no compiler."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if COMPILER not in found:
        raise GraphError(
            f"platform.compile_ahead: {COMPILER} is not installed", "run in the image trainium, or set it to false"
        )
    return found
