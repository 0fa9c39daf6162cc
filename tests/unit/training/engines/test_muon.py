"""Muon: orthogonal updates, the same as PyTorch's own on one rank, and beside AdamW in one engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from paceline.engines.torch.engine import TorchEngine
from paceline.engines.torch.muon import ShardedMuon, orthogonal
from paceline.recipe.schema import Recipe


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48), (3, 16, 24)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix).float())
    assert values.min() > 0.3 and values.max() < 1.3  # the coefficients trade exactness for speed: 0.5 to 1.5 or so


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="since torch 2.9")
def test_it_updates_as_pytorch_does_on_one_rank() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.randn(24, 16)), nn.Parameter(torch.zeros(24, 16))
    theirs.data.copy_(ours.data)
    mine = ShardedMuon({"a": ours}, {"a": ours}, weight_decay=0.1)
    peer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        ours.grad = torch.randn(24, 16)
        theirs.grad = ours.grad.clone()
        mine.step(0.02)
        peer.step()
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)  # both multiply in bfloat16, not in the same order


def test_an_engine_gives_matrices_to_muon_and_the_rest_to_adamw(
    start: Callable[..., TorchEngine], recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe.optimizer.model_copy(update={"name": "muon"})
    monkeypatch.setitem(recipe.__dict__, "optimizer", chosen)
    engine = start()
    state = engine.state()
    with_momentum = {name for name in state if name.startswith("optimizer.momentum.")}
    with_moments = {name for name in state if name.startswith("optimizer.exp_avg.")}
    assert "optimizer.momentum.model.layers.0.mlp.up_proj.weight" in with_momentum
    assert {"optimizer.exp_avg.model.embed_tokens.weight", "optimizer.exp_avg.model.norm.weight"} <= with_moments
    parameters = [name for name in state if not name.startswith("optimizer.")]
    assert len(with_momentum) + len(with_moments) == len(parameters)
