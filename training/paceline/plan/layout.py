"""How a world of ranks shares the work of a step. Pure: a recipe and a number of ranks in, a layout or an error out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from paceline.models import adapter
from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.plan import neuron
from paceline.recipe.schema import Recipe
from paceline.spec.errors import Problem, RecipeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who does what in one optimizer step.

    Ranks are numbered along (pp, dp_replicate, dp_shard, cp, tp), the last fastest, so that those who talk most are
    neighbours; an `ep` group is `ep` successive ranks of dp_shard. Every data rank, a group of cp * tp ranks on each
    stage of the pipeline, runs `micro_steps` passes of `micro_sequences` sequences. The global batch, data_ranks *
    sequences_per_rank, is the recipe's in every world.
    """

    world_size: int
    dp_shard: int
    sequences_per_rank: int
    micro_sequences: int
    micro_steps: int
    pp: int = 1
    dp_replicate: int = 1
    cp: int = 1
    ep: int = 1
    tp: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """The degrees (pp, dp_replicate, dp_shard, cp, tp); their product is the world."""
        return self.pp, self.dp_replicate, self.dp_shard, self.cp, self.tp

    @property
    def degrees(self) -> dict[str, int]:
        """Every axis along which the work is split."""
        named = dict(zip(("pp", "dp_replicate", "dp_shard", "cp", "tp"), self.shape, strict=True)) | {"ep": self.ep}
        return {axis: degree for axis, degree in named.items() if degree > 1 or axis == "dp_shard"}

    @property
    def data_ranks(self) -> int:
        """In how many parts the global batch is cut."""
        return self.dp_replicate * self.dp_shard

    def data_rank(self, rank: int) -> int:
        """Which part of the global batch `rank` reads."""
        return rank // (self.cp * self.tp) % self.data_ranks

    def is_witness(self, rank: int) -> bool:
        """Whether `rank` is the one of those that read the same part which accounts for it."""
        return rank < prod(self.shape[1:]) and rank % (self.cp * self.tp) == 0


def derive(recipe: Recipe, world_size: int) -> Layout:
    """The layout of `recipe` on `world_size` ranks; RecipeError with all that is wrong, if there is none."""
    chosen, model = recipe.parallelism, recipe.model
    config = FAMILIES[model.family].preset(model.preset)
    problems = [*_of_the_model(recipe, config), *_of_attention(recipe)]
    if recipe.engine == "nxd":
        problems += neuron.problems(recipe, config)
    elif recipe.engine == "torch" and recipe.accelerator == "trainium":
        problems += neuron.native_problems(recipe)
    fixed = chosen.pp * chosen.dp_replicate * chosen.cp * chosen.tp
    dp_shard = chosen.dp_shard or max(world_size // fixed, 1)
    data_ranks = chosen.dp_replicate * dp_shard
    sequences, micro = recipe.sequences_per_step, recipe.batch.micro_sequences
    if fixed * dp_shard != world_size:
        problems.append(_uneven_world(recipe, world_size, fixed))
    else:
        if dp_shard % chosen.ep:
            what = f"parallelism.dp_shard, which is {dp_shard} on {_ranks(world_size)}"
            problems.append(_indivisible("ep", chosen.ep, dp_shard, what))
        if sequences % (data_ranks * micro):
            problems.append(_uneven_batch(recipe, data_ranks, world_size))
        else:
            problems += _of_the_pipeline(recipe, sequences // data_ranks // micro)
    if problems:
        raise RecipeError.of(problems)
    return Layout(
        world_size=world_size,
        pp=chosen.pp,
        dp_replicate=chosen.dp_replicate,
        dp_shard=dp_shard,
        cp=chosen.cp,
        ep=chosen.ep,
        tp=chosen.tp,
        sequences_per_rank=sequences // data_ranks,
        micro_sequences=micro,
        micro_steps=sequences // data_ranks // micro,
    )


def _of_the_model(recipe: Recipe, config: DecoderConfig) -> Iterator[Problem]:
    """What its dimensions do not allow."""
    chosen, length = recipe.parallelism, recipe.data.sequence_length
    name = f"{config.family} `{recipe.model.preset}`"
    if recipe.adapter is not None:
        yield from adapter.problems(config, recipe.adapter)
    routing = getattr(config, "routing", None)
    repeated = recipe.engine == "nxd"  # then ranks may hold the same key/value heads
    heads = config.num_attention_heads if repeated else config.num_key_value_heads
    if heads % chosen.tp:
        kind = "query" if repeated else "key/value"
        yield _indivisible("tp", chosen.tp, heads, f"the {heads} {kind} heads of {name}")
    elif config.intermediate_size % chosen.tp:
        width = config.intermediate_size
        yield _indivisible("tp", chosen.tp, width, f"the feed-forward of {name}, which is {width} wide")
    if recipe.engine == "deepspeed" and heads % chosen.cp:  # of attention its ranks share the heads
        yield _indivisible("cp", chosen.cp, heads, f"the {heads} key/value heads of {name}")
    if routing is None and chosen.ep > 1:
        yield Problem(message=f"parallelism.ep: {name} has no experts", hint="set parallelism.ep to 1")
    elif routing is not None and routing.experts % chosen.ep:
        yield _indivisible("ep", chosen.ep, routing.experts, f"the {routing.experts} experts of {name}")
    pieces = 2 * chosen.cp if chosen.cp > 1 else 1  # zig-zag: each rank has an early and a late piece
    if chosen.sequence_parallel and chosen.tp > 1:
        pieces = chosen.cp * chosen.tp * (2 if chosen.cp > 1 and chosen.tp % 2 else 1)
    if length % pieces:
        nearest = _multiples(pieces, length)
        yield Problem(
            message=f"data.sequence_length: {length} positions cannot be shared in {pieces} pieces by parallelism.cp"
            f" ({chosen.cp}) and parallelism.tp ({chosen.tp})",
            hint=f"set data.sequence_length to {nearest}",
        )
    stages = chosen.pp * chosen.stages_per_rank
    if stages > config.num_hidden_layers:
        axis, per = ("pp", chosen.stages_per_rank) if chosen.stages_per_rank == 1 else ("stages_per_rank", chosen.pp)
        most = config.num_hidden_layers // per
        yield Problem(
            message=f"parallelism.{axis}: {stages} stages need as many layers, {name} has {config.num_hidden_layers}",
            hint=f"set parallelism.{axis} to {most} or less" if most else "set parallelism.pp lower",
        )


def _of_attention(recipe: Recipe) -> Iterator[Problem]:
    """What its kernel does not allow: `flex` is compiled with the layer around it, for GPUs only, and computes all
    positions of a sequence at once."""
    if recipe.compute.attention != "flex":
        return
    cure = "set compute.attention to sdpa"
    if recipe.accelerator not in (None, "gpu"):
        yield Problem(
            message=f"compute.attention: flex has no backward pass on accelerator {recipe.accelerator}",
            hint=f"{cure}, or accelerator to gpu",
        )
    if not recipe.compute.compile:
        yield Problem(
            message="compute.attention: flex computes every score unless its layer is compiled",
            hint=f"{cure}, or compute.compile to true",
        )
    if recipe.parallelism.cp > 1:
        yield Problem(
            message="compute.attention: flex does not go round the ring of parallelism.cp, which has its own kernel",
            hint=f"{cure}, or parallelism.cp to 1",
        )


def _of_the_pipeline(recipe: Recipe, micro_steps: int) -> Iterator[Problem]:
    """What its schedule does not allow: it must be filled, and interleaved rounds must be whole."""
    chosen = recipe.parallelism
    if chosen.pp == 1:
        if chosen.stages_per_rank > 1:
            yield Problem(
                message="parallelism.stages_per_rank: there is no pipeline (parallelism.pp is 1)",
                hint="set parallelism.pp, or leave parallelism.stages_per_rank at 1",
            )
        return
    if chosen.pp_schedule == "zero_bubble" and recipe.compute.compile:
        yield Problem(
            message="compute.compile: a compiled layer cannot compute the gradients of its weights apart, as"
            " parallelism.pp_schedule zero_bubble does",
            hint="set compute.compile to false, or parallelism.pp_schedule to 1f1b",
        )
    in_rounds = chosen.stages_per_rank > 1 or chosen.pp_schedule == "zero_bubble"
    if micro_steps < chosen.pp or (in_rounds and micro_steps % chosen.pp):
        need = "a multiple of" if in_rounds else "at least"
        step = recipe.batch.tokens // micro_steps
        enough = _multiples(chosen.pp * step, recipe.batch.tokens)
        yield Problem(
            message=f"parallelism.pp: a step has {micro_steps} passes per data rank, a pipeline of {chosen.pp} needs"
            f" {need} {chosen.pp}",
            hint=f"set batch.tokens to {enough}, or lower batch.micro_sequences",
        )


def _uneven_world(recipe: Recipe, world_size: int, fixed: int) -> Problem:
    chosen = recipe.parallelism
    axes = {"pp": chosen.pp, "dp_replicate": chosen.dp_replicate, "cp": chosen.cp, "tp": chosen.tp}
    named = [f"{axis} {degree}" for axis, degree in axes.items() if degree > 1]
    if chosen.dp_shard:
        needed = fixed * chosen.dp_shard
        parts = " x ".join([*named, f"dp_shard {chosen.dp_shard}"])
        cure = f"use {_ranks(needed)}"
        if world_size % fixed == 0:
            cure += f", or set parallelism.dp_shard to {world_size // fixed}, or to null"
        return Problem(message=f"parallelism: {parts} is {_ranks(needed)}, not {world_size}", hint=cure)
    return Problem(
        message=f"parallelism: {_ranks(world_size)} cannot be shared by {' x '.join(named)}",
        hint=f"use {_multiples(fixed, world_size)} ranks",
    )


def _uneven_batch(recipe: Recipe, data_ranks: int, world_size: int) -> Problem:
    sequences, micro = recipe.sequences_per_step, recipe.batch.micro_sequences
    length, chosen = recipe.data.sequence_length, recipe.parallelism
    whole = data_ranks * micro
    cures = [f"with {_ranks(world_size)} set batch.tokens to {_multiples(whole * length, sequences * length)}"]
    if sequences % data_ranks == 0:
        share = sequences // data_ranks
        fitting = max(n for n in range(1, min(micro, share) + 1) if share % n == 0)
        cures.append(f"or batch.micro_sequences to {fitting}")
    if sequences % micro == 0 and chosen.dp_shard is None:
        unit = chosen.dp_replicate * chosen.ep
        legal = [n for n in range(unit, sequences // micro + 1, unit) if sequences // micro % n == 0]
        nearest = [
            max((n for n in legal if n < data_ranks), default=0),
            min((n for n in legal if n > data_ranks), default=0),
        ]
        worlds = [_ranks(n * world_size // data_ranks) for n in nearest if n]
        cures += [f"or keep the batch and use {' or '.join(worlds)}"] if worlds else []
    return Problem(
        message=f"batch.tokens: {recipe.batch.tokens} tokens are {sequences} sequences, which {_ranks(world_size)}"
        f" cannot share in passes of {micro} (batch.micro_sequences)",
        hint=", ".join(cures),
    )


def _indivisible(axis: str, degree: int, whole: int, what: str) -> Problem:
    legal = [n for n in range(1, whole + 1) if whole % n == 0]
    nearest = [max(n for n in legal if n < degree), *[n for n in legal if n > degree][:1]]
    return Problem(
        message=f"parallelism.{axis}: {degree} does not divide {what}",
        hint=f"set parallelism.{axis} to {' or '.join(str(n) for n in nearest)}",
    )


def _multiples(unit: int, value: int) -> str:
    """The multiples of `unit` on both sides of `value`, which is none."""
    below = value // unit * unit
    return " or ".join(str(n) for n in (below, below + unit) if n)


def _ranks(number: int) -> str:
    return "1 rank" if number == 1 else f"{number} ranks"
