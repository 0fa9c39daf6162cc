from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Batch, Compute, DataChoice, ModelChoice, Optimizer, Parallelism, Recipe, Schedule
from paceline.spec.errors import RecipeError


def recipe(sequences: int, micro: int, family: str = "llama", **parallelism: object) -> Recipe:
    return Recipe(
        name="layouts",
        description="a batch to share",
        model=ModelChoice.model_validate({"family": family, "preset": "debug"}),
        data=DataChoice(sequence_length=256),
        batch=Batch(tokens=256 * sequences, micro_sequences=micro),
        parallelism=Parallelism.model_validate(parallelism),
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


DEGREES = st.fixed_dictionaries(
    {
        "pp": st.sampled_from([1, 2, 4]),
        "dp_replicate": st.integers(1, 3),
        "cp": st.sampled_from([1, 2, 4]),
        "ep": st.sampled_from([1, 2, 4]),
        "tp": st.sampled_from([1, 2, 4]),
    }
)


@given(degrees=DEGREES, shards=st.integers(1, 4))
def test_every_rank_has_a_place_and_every_part_of_the_batch_one_witness(degrees: dict[str, int], shards: int) -> None:
    shards *= degrees["ep"]
    data_ranks = degrees["dp_replicate"] * shards
    world = data_ranks * degrees["pp"] * degrees["cp"] * degrees["tp"]
    layout = derive(recipe(data_ranks * 4, 1, "mixtral", **degrees), world)
    readers = [layout.data_rank(rank) for rank in range(world)]
    assert {readers.count(part) for part in range(data_ranks)} == {world // data_ranks}
    witnesses = [layout.data_rank(rank) for rank in range(world) if layout.is_witness(rank)]
    assert sorted(witnesses) == list(range(data_ranks))


def test_what_is_left_of_the_world_shards() -> None:
    layout = derive(recipe(16, 1, tp=2, pp=2, dp_replicate=2), 16)
    assert (layout.dp_shard, layout.data_ranks, layout.micro_steps) == (2, 4, 4)
    assert layout.degrees == {"pp": 2, "dp_replicate": 2, "dp_shard": 2, "tp": 2}


@pytest.mark.parametrize(
    ("family", "parallelism", "world", "message", "hint"),
    [
        ("llama", {"tp": 3}, 3, "tp: 3 does not divide the 4 key/value heads", "set parallelism.tp to 2 or 4"),
        ("llama", {"tp": 8}, 8, "tp: 8 does not divide the 4 key/value heads", "set parallelism.tp to 4"),
        ("llama", {"ep": 2}, 2, "llama `debug` has no experts", "set parallelism.ep to 1"),
        ("mixtral", {"ep": 3}, 3, "ep: 3 does not divide the 4 experts", "set parallelism.ep to 2 or 4"),
        ("mixtral", {"ep": 4}, 2, "ep: 4 does not divide parallelism.dp_shard, which is 2", "set parallelism.ep to 2"),
        ("llama", {"pp": 8}, 8, "8 stages need as many layers", "set parallelism.pp to 4 or less"),
        ("llama", {"pp": 2, "stages_per_rank": 3}, 2, "6 stages need as many", "set parallelism.stages_per_rank to 2"),
        ("llama", {"stages_per_rank": 2}, 1, "there is no pipeline", "set parallelism.pp"),
        ("llama", {"cp": 3}, 3, "256 positions cannot be shared in 6 pieces", "set data.sequence_length to 252 or 258"),
        ("llama", {"tp": 2}, 3, "3 ranks cannot be shared by tp 2", "use 2 or 4 ranks"),
        ("llama", {"dp_shard": 4, "tp": 2}, 4, "tp 2 x dp_shard 4 is 8 ranks, not 4", "set parallelism.dp_shard to 2"),
        (
            "llama",
            {"pp": 4},
            16,
            "2 passes per data rank, a pipeline of 4 needs at least 4",
            "set batch.tokens to 8192",
        ),
    ],
)
def test_what_a_model_or_a_world_does_not_allow(
    family: str, parallelism: dict[str, int], world: int, message: str, hint: str
) -> None:
    sequences = 24 if world == 3 else 16
    with pytest.raises(RecipeError) as caught:
        derive(recipe(sequences, 2, family, **parallelism), world)
    assert [p.message for p in caught.value.problems if message in p.message], caught.value.render()
    assert [p for p in caught.value.problems if message in p.message and hint in (p.hint or "")], caught.value.render()


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        derive(recipe(7, 2, tp=3, ep=2), 6)
    assert [p.message.split(":")[0] for p in caught.value.problems] == [
        "parallelism.tp",
        "parallelism.ep",
        "data.sequence_length",
        "batch.tokens",
    ]


def test_what_is_compiled_does_not_go_through_a_zero_bubble_pipeline() -> None:
    chosen = recipe(16, 1, pp=2, pp_schedule="zero_bubble").model_copy(update={"compute": Compute(compile=True)})
    with pytest.raises(RecipeError, match="a compiled layer cannot"):
        derive(chosen, 2)


@pytest.mark.parametrize(
    ("accelerator", "compiled", "cp", "said"),
    [
        ("gpu", True, 1, []),
        (None, True, 1, []),
        ("cpu", True, 1, ["flex has no backward pass on accelerator cpu"]),
        ("gpu", False, 1, ["flex computes every score unless its layer is compiled"]),
        ("gpu", True, 2, ["flex does not go round the ring of parallelism.cp, which has its own kernel"]),
    ],
)
def test_where_compiled_attention_can_be(accelerator: str | None, compiled: bool, cp: int, said: list[str]) -> None:
    compute = Compute(attention="flex", compile=compiled)
    chosen = recipe(16, 1, cp=cp).model_copy(update={"compute": compute, "accelerator": accelerator})
    found: list[str] = []
    try:
        derive(chosen, 2)
    except RecipeError as refused:
        found = [problem.message.removeprefix("compute.attention: ") for problem in refused.problems]
    assert found == said
