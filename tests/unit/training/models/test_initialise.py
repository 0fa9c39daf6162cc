from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.models.initialise import ROWS, initialise

WHOLE = 2 * ROWS + 37


def matrix(name: str = "w", *, first: int = 0, rows: int = WHOLE, seed: int = 0) -> torch.Tensor:
    local = torch.full((rows, 3), torch.nan)
    initialise(name, local, first_row=first, seed=seed, std=0.5)
    return local


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, WHOLE), max_size=4).map(sorted))
def test_any_split_into_shards_gives_the_same_whole(cuts: list[int]) -> None:
    bounds = [0, *cuts, WHOLE]
    shards = [matrix(first=a, rows=b - a) for a, b in pairwise(bounds)]
    assert torch.equal(torch.cat(shards), matrix())


def test_the_order_of_parameters_and_other_randomness_do_not_matter() -> None:
    first, second = matrix("a"), matrix("b")
    torch.manual_seed(123)
    torch.rand(7)
    assert torch.equal(matrix("b"), second)
    assert torch.equal(matrix("a"), first)


def test_names_seeds_and_blocks_differ() -> None:
    values = [matrix("a"), matrix("b"), matrix("a", seed=1)]
    blocks = [v[n * ROWS : (n + 1) * ROWS][:30] for v in values for n in range(3)]
    assert all(not torch.isclose(a, b).any() for i, a in enumerate(blocks) for b in blocks[:i])


def test_distribution() -> None:
    values = matrix()
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 0.5) < 0.02


def test_vectors_are_ones() -> None:
    scale = torch.full((5,), torch.nan)
    initialise("norm.weight", scale, first_row=0, seed=0, std=0.5)
    assert torch.equal(scale, torch.ones(5))


def test_biases_are_zeros() -> None:
    bias = torch.full((5,), torch.nan)
    initialise("q_proj.bias", bias, first_row=0, seed=0, std=0.5)
    assert torch.equal(bias, torch.zeros(5))


def test_known_answer() -> None:
    # a change here changes every run that starts from a seed
    expected = torch.tensor([[0.3150576, 0.4390462, -0.3077919], [-0.4158251, -0.3656306, 0.4631518]])
    torch.testing.assert_close(matrix("model.embed_tokens.weight", rows=2, seed=7), expected)
