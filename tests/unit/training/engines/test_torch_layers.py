"""The attention that a recipe asks for is the one that its model computes, or it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
import torch

from paceline.engines.torch.layers import ParallelLayers
from paceline.engines.torch.mesh import Axis, Mesh
from paceline.engines.torch.process_group import join_alone, leave
from paceline.models.kernels import KERNELS, Flex
from paceline.plan.layout import derive
from paceline.recipe.schema import Compute, Recipe
from paceline.spec.errors import RecipeError


@pytest.fixture
def mesh(recipe: Recipe) -> Iterator[Mesh]:
    yield Mesh.of(derive(recipe, 1), join_alone())
    leave()


def asking(recipe: Recipe, attention: Literal["sdpa", "flex"]) -> Recipe:
    return recipe.model_copy(update={"compute": Compute(attention=attention, compile=True)})


@pytest.mark.parametrize("attention", ["sdpa", "flex"])
def test_a_model_has_the_attention_of_its_recipe(
    attention: Literal["sdpa", "flex"], mesh: Mesh, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flex, "trains_on", ("cuda", "cpu"))

    assert ParallelLayers(asking(recipe, attention), mesh).attention is KERNELS[attention]


def test_a_stage_attends_to_whole_sequences_by_that_kernel(
    mesh: Mesh, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flex, "trains_on", ("cuda", "cpu"))
    staged = replace(mesh, pp=Axis(size=2))
    ids = torch.zeros(1, 4, dtype=torch.int64)  # of sixteen positions
    masks = []
    for attention in ("sdpa", "flex"):
        kernel = ParallelLayers(asking(recipe, attention), staged).attention
        positions = kernel.positions(ids)
        assert positions.tolist() == list(range(recipe.data.sequence_length))
        masks.append(kernel.mask(positions, window=None, documents=None))

    query = torch.randn(1, 2, recipe.data.sequence_length, 16)
    plain, blocks = (
        ParallelLayers(asking(recipe, name), staged).attention.attend(query, query, query, mask)
        for name, mask in zip(("sdpa", "flex"), masks, strict=True)
    )
    assert masks[0] is None and masks[1] is not None
    torch.testing.assert_close(plain, blocks, rtol=1e-4, atol=1e-5)


def test_attention_that_does_not_train_here_is_refused_with_what_does(mesh: Mesh, recipe: Recipe) -> None:
    with pytest.raises(RecipeError) as refused:
        ParallelLayers(asking(recipe, "flex"), mesh)

    [problem] = refused.value.problems
    assert problem.message == "compute.attention: flex does not train on this device, a cpu"
    assert problem.hint == "set compute.attention to sdpa, or train on cuda"
