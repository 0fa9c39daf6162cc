from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Batch, DataChoice, ModelChoice, Optimizer, Recipe, Schedule
from paceline.spec.errors import RecipeError


def recipe(sequences: int, micro: int) -> Recipe:
    return Recipe(
        name="layouts",
        description="a batch to share",
        model=ModelChoice(preset="debug"),
        data=DataChoice(sequence_length=256),
        batch=Batch(tokens=256 * sequences, micro_sequences=micro),
        optimizer=Optimizer(learning_rate=1e-3),
        schedule=Schedule(steps=1),
    )


def test_two_ranks_share_sixteen_sequences() -> None:
    assert derive(recipe(16, 4), 2) == Layout(
        world_size=2, dp_shard=2, sequences_per_rank=8, micro_sequences=4, micro_steps=2
    )


@given(world=st.integers(1, 64), micro=st.integers(1, 8), steps=st.integers(1, 8))
def test_a_legal_world_covers_the_batch_exactly(world: int, micro: int, steps: int) -> None:
    layout = derive(recipe(world * micro * steps, micro), world)
    assert layout.micro_steps == steps
    assert layout.world_size * layout.micro_steps * layout.micro_sequences == world * micro * steps
    assert layout.sequences_per_rank == layout.micro_steps * layout.micro_sequences


@given(sequences=st.integers(1, 300), micro=st.integers(1, 12), world=st.integers(1, 40))
def test_everything_that_an_error_proposes_is_legal(sequences: int, micro: int, world: int) -> None:
    assume(sequences % (world * micro))
    with pytest.raises(RecipeError) as caught:
        derive(recipe(sequences, micro), world)
    hint = caught.value.problems[0].hint
    assert hint is not None
    tokens, _, rest = hint.partition(", or ")
    for value in tokens.partition(" set batch.tokens to ")[2].split(" or "):
        assert derive(recipe(int(value) // 256, micro), world)
    for cure in filter(None, rest.split(", or ")):
        if cure.startswith("batch.micro_sequences to "):
            assert derive(recipe(sequences, int(cure.rsplit(" ", 1)[1])), world)
        else:
            for ranks in cure.removeprefix("keep the batch and use ").split(" or "):
                assert derive(recipe(sequences, micro), int(ranks.split()[0]))


def test_message() -> None:
    with pytest.raises(RecipeError) as caught:
        derive(recipe(16, 4), 3)
    assert caught.value.render() == (
        "error: batch.tokens: 4096 tokens are 16 sequences, which 3 ranks cannot share in passes of 4"
        " (batch.micro_sequences)\n\n"
        "hint: with 3 ranks set batch.tokens to 3072 or 6144, or keep the batch and use 2 ranks or 4 ranks"
    )


def test_a_smaller_pass_is_proposed_where_it_helps() -> None:
    with pytest.raises(RecipeError, match="cannot share") as caught:
        derive(recipe(12, 4), 2)
    assert "or batch.micro_sequences to 3" in (caught.value.problems[0].hint or "")
