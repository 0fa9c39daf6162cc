"""Which part of every parameter a rank holds: the arithmetic of engines/torch/parallelize.py, without tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from paceline.models.config import DecoderConfig
from paceline.models.families import SHARDING
from paceline.models.sharding import ShardingPlan
from paceline.plan.layout import Layout

ROOT = ""
"""The unit of what no other gathers."""

_HEAD, _EMBEDDING, _NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Of one parameter what ranks that share its data together hold, of `shape`, and into how many `shards` they cut
    it. `unit` is what it is gathered with. `stacked`: it holds a slice per expert. `table`: a row per token."""

    name: str
    shape: tuple[int, ...]
    unit: str
    shards: int = 1
    stacked: bool = False
    table: bool = False

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


def blocks(config: DecoderConfig, layout: Layout, stage: int, stages: int) -> list[Block]:
    """The parameters of one of the `stages` of the pipeline, as ranks of `layout` hold them."""
    whole = {block.name: block for block in _all(config)}
    kept = [name for name in whole if _in_stage(name, config, stage, stages)]
    if config.tie_word_embeddings and stages > 1 and stage == stages - 1:
        kept.append(_HEAD)
        whole[_HEAD] = replace(whole[_EMBEDDING], name=_HEAD)
    return [_share(whole[name], config.family, layout) for name in kept]


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


@cache
def _all(config: DecoderConfig) -> tuple[Block, ...]:
    """A planner asks for many layouts of one model."""
    return tuple(_whole(config, SHARDING[config.family]))


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


def _in_stage(name: str, config: DecoderConfig, stage: int, stages: int) -> bool:
    if name == _EMBEDDING:
        return stage == 0
    if name in (_NORM, _HEAD):
        return stage == stages - 1
    return int(name.split(".")[2]) in layers_of(config, stage, stages)


@cache
def _split(family: str, module: str) -> str | None:
    return SHARDING[family].split(module)


def _share(block: Block, family: str, layout: Layout) -> Block:
    """What tensor and expert parallel leave of a parameter, and who shards that."""
    shards = layout.dp_shard * layout.cp
    if block.stacked:
        first, *rest = block.shape
        return replace(block, shape=(first // layout.ep, *rest), shards=shards // layout.ep)
    split = _split(family, block.name.rpartition(".")[0])
    shape = list(block.shape)
    if split is not None:
        dimension = 1 if split == "rows" else 0
        shape[dimension] = -(-shape[dimension] // layout.tp)
    return replace(block, shape=tuple(shape), shards=shards)
