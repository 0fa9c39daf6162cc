"""The memory of a rank, by component, from a recipe and a layout. Pure: no tensor is made.

Parameters, gradients and optimizer are exact: the same arithmetic of blocks and shards as in engines/torch. Of
activations every saved tensor is counted (plan/activations.py). `gathered` and `working` are bounds on what FSDP2 and
the loss hold for a moment; their peaks need not coincide, so the total is an upper bound (docs/concepts/memory.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.plan.activations import FLOAT32, Precision, kept
from paceline.plan.layout import Layout
from paceline.plan.parameters import ROOT, Block, blocks, layers_of, units
from paceline.recipe.schema import Optimizer, Parallelism, Recipe

QUANTISED_BLOCK = 256
"""Elements that share a scale in the moments of 8-bit AdamW."""

_ACTIVATION_BYTES = {"float32": 4, "bfloat16": 2, "float8": 2}  # float8 is inside of the products only


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """Bytes of one rank while it trains.

    `parameters`, `gradients` and `optimizer` are its shards. `accumulated` are whole gradients, kept from pass to pass
    where a step has several. `activations` are what passes under way keep for backward. `gathered` are whole
    parameters, and the gradients of a unit, while they are used. `working` is the largest of what the loss, a
    recomputed layer and a sum over ranks need for a moment, and what a pipeline receives into.
    """

    parameters: int
    gradients: int
    optimizer: int
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
    return tuple(_of_rank(recipe, config, layout, device, rank) for rank in range(layout.pp))


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
    held = [block for stage in own for block in blocks(config, layout, stage, stages)]
    shards = FLOAT32 * sum(block.sharded_elements for block in held)
    whole = sum(block.elements for block in held)
    kept_by = [
        kept(recipe, config, layout, precision, layers=layers_of(config, stage, stages), last=stage == stages - 1)
        for stage in own
    ]
    behind = max(stage.behind for stage in kept_by)
    under_way = passes_under_way(chosen, layout.micro_steps, rank)
    # of the last stage's logits, a pass at a time: their gradients twice over, and as they go on backward
    tokens = layout.micro_sequences * recipe.data.sequence_length // layout.cp
    logits = tokens * -(-config.vocab_size // layout.tp) * (2 * FLOAT32 + size) if behind else 0
    unit = {name: sum(block.elements for block in found) for name, found in units(held).items()}
    largest = max(count for name, count in unit.items() if name != ROOT)
    recomputed = 0 if recipe.compute.activation_checkpointing == "none" else max(stage.layer for stage in kept_by)
    reduced = FLOAT32 * max(largest, unit.get(ROOT, 0))
    return MemoryPlan(
        parameters=shards,
        gradients=shards,
        optimizer=_optimizer(recipe.optimizer, held),
        accumulated=FLOAT32 * whole if layout.micro_steps > 1 else 0,
        activations=under_way * max(stage.layers for stage in kept_by) + behind,
        gathered=_gathered(unit, largest, size, in_pipeline=chosen.pp > 1),
        working=max(logits, recomputed, reduced) + _received(layout, own, stages, kept_by[0].residual),
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


def _gathered(unit: dict[str, int], largest: int, size: int, *, in_pipeline: bool) -> int:
    """What is not a unit's stays whole from forward to backward, and so does all of a pipeline's stage; of units there
    are the one in use, the next on its way, and the gradients of the last."""
    root = unit.get(ROOT, 0)
    parameters = sum(unit.values()) if in_pipeline else root + 2 * largest
    return size * (parameters + max(root, largest))


def _received(layout: Layout, own: Sequence[int], stages: int, residual: int) -> int:
    """A pipeline's stage has a place for what it gets, and for the gradients of what it gives, of every pass."""
    if layout.pp == 1:
        return 0
    ends = sum((stage > 0) + (stage < stages - 1) for stage in own)
    return ends * layout.micro_steps * residual
