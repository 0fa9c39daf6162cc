from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.distributed.tensor import DTensor

from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.parallelize import build
from paceline.engines.torch.precision import has_float8
from paceline.engines.torch.process_group import join_alone, leave
from paceline.models.blueprint import Blueprint
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.models.llama.sharding import PLAN
from paceline.plan.layout import derive
from paceline.recipe.schema import Compute, Optimizer, Recipe
from paceline.spec.errors import RecipeError


@pytest.fixture
def mesh(recipe: Recipe) -> Iterator[Mesh]:
    yield Mesh.of(derive(recipe, 1), join_alone())
    leave()


def blueprint(*, tied: bool) -> Blueprint:
    config = dataclasses.replace(LlamaConfig.preset("debug", vocabulary=64), tie_word_embeddings=tied)
    return Blueprint(build=partial(Llama, config), sharding=PLAN, initializer_range=0.02)


def test_every_parameter_is_sharded_and_set(mesh: Mesh, recipe: Recipe) -> None:
    [stage] = build(blueprint(tied=False), recipe, mesh, seed=0)
    for name, parameter in stage.model.named_parameters():
        assert isinstance(parameter, DTensor) and not parameter.is_meta
        assert (parameter.to_local() == 1).all() == name.endswith("norm.weight")


def test_a_tied_head_stays_tied_and_gets_both_gradients(mesh: Mesh, recipe: Recipe) -> None:
    stages = build(blueprint(tied=True), recipe, mesh, seed=0)
    model = stages[0].model
    optimizer = ShardedAdamW(stages, Optimizer(learning_rate=1e-3, weight_decay=0.0), PLAN)
    assert [name for name in optimizer.state() if "lm_head" in name] == []
    plain = blueprint(tied=True).build(PlainLayers())
    for name, parameter in plain.named_parameters():
        initialise(name, parameter, first_row=0, seed=0, std=0.02)
    adamw = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    ids = torch.arange(64).view(2, 32)
    for _ in range(3):
        losses = [F.cross_entropy(m(ids).flatten(0, 1), ids.flatten()) for m in (model, plain)]
        for loss in losses:
            loss.backward()
        norm = optimizer.squared_gradient_norm().sqrt()
        expected = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        torch.testing.assert_close(losses[0], losses[1])
        torch.testing.assert_close(norm, expected)
        optimizer.step(learning_rate=1e-3, gradient_norm=norm, gradient_clip=1.0)
        adamw.step()
        adamw.zero_grad()
    assert model.get_parameter("lm_head.weight") is model.get_parameter("model.embed_tokens.weight")


def test_float8_is_refused_where_it_cannot_be(mesh: Mesh, recipe: Recipe) -> None:
    if has_float8():
        pytest.skip("this machine can")
    chosen = recipe.model_copy(update={"compute": Compute(precision="float8")})
    with pytest.raises(RecipeError, match="float8 needs torchao and a GPU"):
        build(blueprint(tied=False), chosen, mesh, seed=0)


def test_bfloat16_computes_and_float32_keeps(mesh: Mesh, recipe: Recipe) -> None:
    chosen = recipe.model_copy(update={"compute": Compute(precision="bfloat16")})
    [stage] = build(blueprint(tied=False), chosen, mesh, seed=0)
    logits = stage.model(torch.zeros(1, 16, dtype=torch.int64))
    logits.float().sum().backward()
    assert logits.dtype == torch.bfloat16
    assert {(p.dtype, p.grad.dtype) for p in stage.model.parameters() if p.grad is not None} == {
        (torch.float32, torch.float32)
    }


@pytest.mark.parametrize(("static", "dynamic"), [(True, False), (False, None)])
def test_static_shapes_are_what_layers_are_compiled_for(
    mesh: Mesh, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, static: bool, dynamic: bool | None
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: asked.append(options))
    chosen = recipe.model_copy(update={"compute": Compute(compile=True, static_shapes=static)})
    [stage] = build(blueprint(tied=False), chosen, mesh, seed=0)
    assert asked == [{"dynamic": dynamic}] * len(stage.model.get_submodule("model.layers"))  # type: ignore[arg-type]
