"""Which part of every parameter a rank holds: the arithmetic of engines/torch/parallelize.py, without tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import get_args

from paceline.models.adapter import DOWN, UP, adapter_tensors, is_new_head, learns
from paceline.models.config import DecoderConfig
from paceline.models.families import SHARDING
from paceline.models.sharding import ShardingPlan
from paceline.plan.layout import Layout
from paceline.recipe.method import Adapter, Target

ROOT = ""
"""The unit of what no other gathers."""

_HEAD, _EMBEDDING, _NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Of one parameter what ranks that share its data together hold, of `shape`, and into how many `shards` they cut
    it. `unit` is what it is gathered with. `stacked`: it holds a slice per expert. `table`: a row per token. `frozen`:
    it does not learn. `quantised`: it is held in four bits, whole on every rank."""

    name: str
    shape: tuple[int, ...]
    unit: str
    shards: int = 1
    stacked: bool = False
    table: bool = False
    frozen: bool = False
    quantised: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def sharded_elements(self) -> int:
        """On the rank that holds most: shards are chunks along the first dimension, or, where that divides it, along
        the rows of experts."""
        first, *rest = self.shape
        if self.stacked and self.shape[1] % self.shards == 0:
            return self.elements // self.shards
        return -(-first // self.shards) * prod(rest)


def blocks(
    config: DecoderConfig, layout: Layout, stage: int, stages: int, *, adapter: Adapter | None = None
) -> tuple[Block, ...]:
    """The parameters of one of the `stages` of the pipeline, as ranks of `layout` hold them. Beside an `adapter` only
    its own learn."""
    return _held(config, adapter, layout.tp, layout.ep, layout.dp_shard * layout.cp, stage, stages)


def layers_of(config: DecoderConfig, stage: int, stages: int) -> range:
    """The layers of one of the `stages` of the pipeline."""
    layers = config.num_hidden_layers
    return range(stage * layers // stages, (stage + 1) * layers // stages)


def units(found: Sequence[Block]) -> dict[str, list[Block]]:
    """By unit, in the order of the model."""
    by_unit: dict[str, list[Block]] = {}
    for block in found:
        by_unit.setdefault(block.unit, []).append(block)
    return by_unit


# a planner asks for many layouts of one model


@cache
def _held(
    config: DecoderConfig, adapter: Adapter | None, tp: int, ep: int, shards: int, stage: int, stages: int
) -> tuple[Block, ...]:
    return tuple(
        _share(block, config.family, tp=tp, ep=ep, shards=shards) for block in _by_stage(config, adapter, stages)[stage]
    )


@cache
def _by_stage(config: DecoderConfig, adapter: Adapter | None, stages: int) -> tuple[tuple[Block, ...], ...]:
    stage_of = {layer: stage for stage in range(stages) for layer in layers_of(config, stage, stages)}
    found: list[list[Block]] = [[] for _ in range(stages)]
    for block in _all(config, adapter):
        found[_stage(block.name, stage_of, stages)].append(block)
        if block.name == _EMBEDDING and config.tie_word_embeddings and stages > 1:
            found[-1].append(replace(block, name=_HEAD))
    return tuple(map(tuple, found))


@cache
def _all(config: DecoderConfig, adapter: Adapter | None) -> tuple[Block, ...]:
    plan = SHARDING[config.family]
    of_model = tuple(_whole(config, plan))
    if adapter is None:
        return of_model
    beside = [
        Block(name=name, shape=shape, unit=plan.unit(name) or ROOT)
        for name, shape in adapter_tensors(config, adapter).items()
    ]
    return (*(_frozen(block, adapter) for block in of_model), *beside)


def _frozen(block: Block, adapter: Adapter) -> Block:
    """A parameter of the model beside an adapter."""
    if learns(block.name):
        return block
    *_, leaf, kind = block.name.split(".")
    linear = leaf in get_args(Target) and kind == "weight" and not block.stacked
    return replace(block, frozen=True, quantised=linear and adapter.quantize is not None)


def _whole(config: DecoderConfig, plan: ShardingPlan) -> Iterator[Block]:
    experts: dict[str, int] = {}
    for name, shape in config.tensors().items():
        stacked = plan.stacked(name)
        if stacked is None:
            table = plan.split(name.rpartition(".")[0]) == "vocabulary"
            yield Block(name=name, shape=shape, unit=plan.unit(name) or ROOT, table=table)
            continue
        parameter, _ = stacked
        experts[parameter] = experts.get(parameter, 0) + 1
        if experts[parameter] == getattr(config, "routing").experts:  # noqa: B009 - a family with experts has it
            of_all = (experts[parameter], *shape)
            yield Block(name=parameter, shape=of_all, unit=plan.unit(parameter) or ROOT, stacked=True)


def _stage(name: str, stage_of: Mapping[int, int], stages: int) -> int:
    if name == _EMBEDDING:
        return 0
    if name in (_NORM, _HEAD) or is_new_head(name):
        return stages - 1
    return stage_of[int(name.split(".")[2])]


@cache
def _shared_dimension(family: str, module: str) -> int | None:
    """Along which tensor parallel cuts a module's weight: of an adapter's factors only the one that has the features
    which ranks share."""
    owner, _, factor = module.rpartition(".")
    split = SHARDING[family].split(owner if factor in (DOWN, UP) else module)
    if split is None or (factor, split) in ((DOWN, "columns"), (UP, "rows")):
        return None
    return 1 if split == "rows" else 0


def _share(block: Block, family: str, *, tp: int, ep: int, shards: int) -> Block:
    """What tensor and expert parallel leave of a parameter, and who shards that."""
    if block.stacked:
        first, *rest = block.shape
        return replace(block, shape=(first // ep, *rest), shards=shards // ep)
    shape, dimension = list(block.shape), _shared_dimension(family, block.name.rpartition(".")[0])
    if dimension is not None:
        shape[dimension] = -(-shape[dimension] // tp)
    return replace(block, shape=tuple(shape), shards=shards)
