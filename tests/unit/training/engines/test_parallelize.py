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
from paceline.engines.torch.process_group import join_alone, leave
from paceline.models.blueprint import Blueprint
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.models.llama.sharding import PLAN
from paceline.plan.layout import derive
from paceline.recipe.schema import Optimizer, Recipe


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
