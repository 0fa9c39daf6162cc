"""How a world of ranks shares the global batch. Pure: a recipe and a number of ranks in, a layout or an error out."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who does what in one optimizer step.

    Every rank runs `micro_steps` forward and backward passes of `micro_sequences` sequences; all parameters are
    sharded over `dp_shard` ranks. The global batch, world_size * sequences_per_rank, is the recipe's in every world.
    """

    world_size: int
    dp_shard: int
    sequences_per_rank: int
    micro_sequences: int
    micro_steps: int


def derive(recipe: Recipe, world_size: int) -> Layout:
    """The layout of `recipe` on `world_size` ranks; RecipeError if they cannot share the global batch evenly."""
    sequences, micro = recipe.sequences_per_step, recipe.batch.micro_sequences
    if sequences % (world_size * micro):
        raise _uneven(recipe, world_size)
    per_rank = sequences // world_size
    return Layout(
        world_size=world_size,
        dp_shard=world_size,
        sequences_per_rank=per_rank,
        micro_sequences=micro,
        micro_steps=per_rank // micro,
    )


def _uneven(recipe: Recipe, world_size: int) -> RecipeError:
    sequences, micro = recipe.sequences_per_step, recipe.batch.micro_sequences
    length = recipe.data.sequence_length
    whole = world_size * micro
    below = sequences // whole * whole
    tokens = [str(n * length) for n in (below, below + whole) if n]
    cures = [f"with {_ranks(world_size)} set batch.tokens to {' or '.join(tokens)}"]
    if sequences % world_size == 0:
        share = sequences // world_size
        fitting = max(n for n in range(1, min(micro, share) + 1) if share % n == 0)
        cures.append(f"or batch.micro_sequences to {fitting}")
    if sequences % micro == 0:
        legal = [n for n in range(1, sequences // micro + 1) if sequences // micro % n == 0]
        nearest = [
            max((n for n in legal if n < world_size), default=0),
            min((n for n in legal if n > world_size), default=0),
        ]
        cures.append(f"or keep the batch and use {' or '.join(_ranks(n) for n in nearest if n)}")
    return RecipeError(
        f"batch.tokens: {recipe.batch.tokens} tokens are {sequences} sequences, which {_ranks(world_size)} cannot share"
        f" in passes of {micro} (batch.micro_sequences)",
        ", ".join(cures),
    )


def _ranks(number: int) -> str:
    return "1 rank" if number == 1 else f"{number} ranks"
