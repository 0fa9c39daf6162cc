"""An adapter's part of a model: what it adds to the weights that were frozen while it learned. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from paceline.checkpoint.dtypes import NUMPY, Array, cast
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.shard_file import parse
from paceline.checkpoint.weights import find_base
from paceline.models.adapter import DOWN, UP, is_new_head
from paceline.recipe.method import Adapter
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointManifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """`factors` are the adapter's tensors by name; `whole` are tensors that the base does not have. All float32."""

    scale: float
    factors: Mapping[str, Array]
    whole: Mapping[str, Array]

    def added(self, tensor: str) -> Array | None:
        """What is added to a weight of the base, of its shape, or None."""
        module = tensor.removesuffix(".weight")
        up, down = (self.factors.get(f"{module}.{factor}.weight") for factor in (UP, DOWN))
        return None if up is None or down is None else np.float32(self.scale) * (up @ down)


def read(repository: CheckpointRepository, manifest: CheckpointManifest) -> Merge | None:
    """The adapter of a checkpoint, or None if it holds a whole model; CheckpointError when it is not whole."""
    if manifest.adapter is None:
        return None
    found = _assembled(repository, manifest)
    return Merge(
        scale=Adapter.model_validate(manifest.adapter).scale,
        factors={name: tensor for name, tensor in found.items() if not is_new_head(name)},
        whole={name: tensor for name, tensor in found.items() if is_new_head(name)},
    )


def base_of(manifest: CheckpointManifest) -> tuple[CheckpointRepository, CheckpointManifest]:
    """The model that the adapter of `manifest` was learned beside."""
    assert manifest.base is not None, "an adapter has a base"
    return find_base(manifest.base)


def _assembled(repository: CheckpointRepository, manifest: CheckpointManifest) -> dict[str, Array]:
    """All parameters of a checkpoint, whole, in float32."""
    tensors: dict[str, Array] = {}
    lacking: dict[str, int] = {}
    copied: set[tuple[str, Iterable[int], Iterable[int]]] = set()
    for source, content in repository.contents(manifest.step, manifest.files):
        for shard, start in parse(content, source).shards:
            place = (shard.name, shard.offset, shard.shape)
            if shard.name.startswith("optimizer.") or place in copied:
                continue
            copied.add(place)
            if shard.name not in tensors:
                tensors[shard.name] = np.zeros(shard.global_shape, dtype="<f4")
                lacking[shard.name] = math.prod(shard.global_shape)
            values = np.frombuffer(content, NUMPY[shard.dtype], count=math.prod(shard.shape), offset=start)
            for block in shard.blocks():
                held = values[block.elements].reshape(block.shape)
                tensors[shard.name][block.region] = cast(held, shard.dtype, "F32")
            lacking[shard.name] -= math.prod(shard.shape)
    if incomplete := [name for name, elements in lacking.items() if elements]:
        raise CheckpointError(
            f"{repository.uri(manifest.step)}: {incomplete[0]}: not whole in the checkpoint", "take an older checkpoint"
        )
    return tensors
