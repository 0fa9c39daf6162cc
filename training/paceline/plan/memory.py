"""The memory of a rank, by component, from a recipe and a layout. Pure: no tensor is made.

Parameters, gradients and optimizer are exact: the same arithmetic of blocks and shards as in engines/torch. Of
activations every saved tensor is counted (plan/activations.py). `gathered` and `working` are bounds on what FSDP2 and
the loss hold for a moment; their peaks need not coincide, so the total is an upper bound (docs/concepts/memory.md).
What is frozen beside an adapter, or as the reference of dpo, has neither gradients nor an optimizer's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.plan.activations import FLOAT32, Precision, kept
from paceline.plan.layout import Layout
from paceline.plan.parameters import ROOT, Block, blocks, layers_of, units
from paceline.recipe.schema import Optimizer, Parallelism, Recipe

QUANTISED_BLOCK = 256
"""Elements that share a scale in the moments of 8-bit AdamW."""

_NF4_BLOCK, _NF4_BLOCK_BYTES = 64, 36
"""Weights that share a scale, and what they take: 4 bits each and a float32 (models/nf4.py)."""

_NF4_OPENED = 12
"""Bytes of a weight while it is made out of its 4 bits: the code as an integer, and two float32."""

_ACTIVATION_BYTES = {"float32": 4, "bfloat16": 2, "float8": 2}  # float8 is inside of the products only


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """Bytes of one rank while it trains.

    `parameters`, `gradients` and `optimizer` are its shards of what learns, `frozen` of what does not. `accumulated`
    are whole gradients, kept from pass to pass where a step has several. `activations` are what passes under way keep
    for backward. `gathered` are whole parameters, and the gradients of a unit, while they are used. `working` is the
    largest of what the loss, a recomputed layer and a sum over ranks need for a moment, and what a pipeline receives
    into.
    """

    parameters: int
    gradients: int
    optimizer: int
    frozen: int
    accumulated: int
    activations: int
    gathered: int
    working: int

    @property
    def total(self) -> int:
        """An upper bound of the peak; what libraries and the allocator take comes on top."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory(
    recipe: Recipe,
    layout: Layout,
    *,
    vocabulary: int | None = None,
    device: Literal["cpu", "cuda"] = "cuda",
) -> tuple[MemoryPlan, ...]:
    """For each rank of the pipeline what it needs; ranks at the same place of it need the same, or a row less.

    `vocabulary` is the dataset's, or that of the preset. RecipeError for an unknown preset.
    """
    config = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=vocabulary)
    if recipe.method == "reward":
        config = replace(config, num_labels=1)
    return tuple(_of_rank(recipe, config, layout, device, rank) for rank in range(layout.pp))


def state_bytes(recipe: Recipe) -> int:
    """What training changes and a checkpoint holds, of all ranks together: parameters that learn, and the optimizer's
    state."""
    config = FAMILIES[recipe.model.family].preset(recipe.model.preset)
    if recipe.method == "reward":
        config = replace(config, num_labels=1)
    alone = Layout(world_size=1, dp_shard=1, sequences_per_rank=1, micro_sequences=1, micro_steps=1)
    learned = [block for block in blocks(config, alone, 0, 1, adapter=recipe.adapter) if not block.frozen]
    return FLOAT32 * sum(block.elements for block in learned) + _optimizer(recipe.optimizer, learned)


def passes_under_way(chosen: Parallelism, micro_steps: int, rank: int) -> int:
    """How many passes through one of its stages the `rank`-th of a pipeline holds at most, of all its stages.

    One while there is no pipeline; for 1F1B and its interleaved form Narayanan et al. (2021, section 2.2), for zero
    bubble Qi et al. (2024), as torch.distributed.pipelining has them.
    """
    if chosen.pp == 1:
        return 1
    behind, rounds = chosen.pp - 1 - rank, (chosen.stages_per_rank - 1) * chosen.pp
    if chosen.pp_schedule == "zero_bubble":
        ahead = rounds + behind + rank  # the gradients of weights follow later
    elif chosen.stages_per_rank > 1:
        ahead = rounds + 2 * behind
    else:
        ahead = behind
    return min(ahead + 1, micro_steps * chosen.stages_per_rank)


def _of_rank(
    recipe: Recipe, config: DecoderConfig, layout: Layout, device: Literal["cpu", "cuda"], rank: int
) -> MemoryPlan:
    chosen = recipe.parallelism
    size = _ACTIVATION_BYTES[recipe.compute.precision]
    precision = Precision(activation_bytes=size, fused_norms=device == "cuda")
    stages = chosen.pp * chosen.stages_per_rank
    own = [rank + chosen.pp * loop for loop in range(chosen.stages_per_rank)]
    held = [block for stage in own for block in blocks(config, layout, stage, stages, adapter=recipe.adapter)]
    learned = [block for block in held if not block.frozen]
    shards = FLOAT32 * sum(block.sharded_elements for block in learned)
    whole = sum(block.elements for block in learned)
    kept_by = [
        kept(recipe, config, layout, precision, layers=layers_of(config, stage, stages), last=stage == stages - 1)
        for stage in own
    ]
    behind = max(stage.behind for stage in kept_by)
    under_way = passes_under_way(chosen, layout.micro_steps, rank)
    # of the last stage's logits, a pass at a time: their gradients twice over, and as they go on backward
    tokens = layout.micro_sequences * recipe.data.sequence_length // layout.cp
    rows = config.num_labels or -(-config.vocab_size // layout.tp)
    logits = tokens * rows * (2 * FLOAT32 + size) if behind else 0
    in_use = _by_unit([block for block in held if not block.quantised])
    summed = _by_unit(learned)
    recomputed = 0 if recipe.compute.activation_checkpointing == "none" else max(stage.layer for stage in kept_by)
    reduced = FLOAT32 * max(summed.values())
    opened = max((_NF4_OPENED * block.elements for block in held if block.quantised), default=0)
    return MemoryPlan(
        parameters=shards,
        gradients=shards,
        optimizer=_optimizer(recipe.optimizer, learned),
        frozen=_frozen(recipe, held, size),
        accumulated=FLOAT32 * whole if layout.micro_steps > 1 else 0,
        activations=under_way * max(stage.layers for stage in kept_by) + behind,
        gathered=size * (_used_at_once(in_use, in_pipeline=chosen.pp > 1) + max(summed.values())),
        working=max(logits, recomputed + opened, reduced) + _received(layout, own, stages, kept_by[0].residual),
    )


def _optimizer(chosen: Optimizer, held: Sequence[Block]) -> int:
    """Two moments of each element and the number of updates of each parameter. Of matrices inside of layers, Muon has
    one moment, and 8-bit AdamW has a byte for each and a scale for every block of a row."""
    bytes_ = 0
    for block in held:
        elements, of_layer = block.sharded_elements, len(block.shape) > 1 and not block.table
        if of_layer and chosen.name == "muon":
            bytes_ += FLOAT32 * elements
        elif of_layer and chosen.name == "adamw8bit":
            blocks_of_row = -(-block.shape[-1] // QUANTISED_BLOCK)
            bytes_ += 2 * (elements + elements // block.shape[-1] * blocks_of_row * FLOAT32) + FLOAT32
        else:
            bytes_ += FLOAT32 * (2 * elements + 1)
    return bytes_


def _frozen(recipe: Recipe, held: Sequence[Block], size: int) -> int:
    """Shards in the precision that they are multiplied in; in 4 bits whole, since nobody gathers those. Without an
    adapter, dpo holds the first model beside the one that learns."""
    shards = [block for block in held if block.frozen and not block.quantised]
    if recipe.method == "dpo" and recipe.adapter is None:
        shards = list(held)
    bytes_ = size * sum(block.sharded_elements for block in shards)
    for rows, columns in (block.shape for block in held if block.quantised):
        bytes_ += rows * -(-columns // _NF4_BLOCK) * _NF4_BLOCK_BYTES
    return bytes_


def _by_unit(held: Sequence[Block]) -> dict[str, int]:
    """Elements of each unit, if there are any."""
    return {name: sum(block.elements for block in found) for name, found in units(held).items()}


def _used_at_once(elements: dict[str, int], *, in_pipeline: bool) -> int:
    """What is not a unit's stays whole from forward to backward, and so does all of a pipeline's stage; of units there
    are the one in use and the next on its way."""
    if in_pipeline:
        return sum(elements.values())
    return elements.get(ROOT, 0) + 2 * max((count for name, count in elements.items() if name != ROOT), default=0)


def _received(layout: Layout, own: Sequence[int], stages: int, residual: int) -> int:
    """A pipeline's stage has a place for what it gets, and for the gradients of what it gives, of every pass."""
    if layout.pp == 1:
        return 0
    ends = sum((stage > 0) + (stage < stages - 1) for stage in own)
    return ends * layout.micro_steps * residual
