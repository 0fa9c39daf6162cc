"""8-bit AdamW: the numbers that a byte can say, and training that goes where AdamW's goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from paceline.engines.torch.adamw8bit import BLOCK, Quantised, ShardedAdamW8bit, code_book
from paceline.engines.torch.engine import TorchEngine
from paceline.recipe.schema import Recipe


@pytest.mark.parametrize("signed", [True, False])
def test_the_code_book_has_what_a_byte_can_say(signed: bool) -> None:
    book = code_book(signed=signed)
    assert len(book.unique()) == 256 and book.equal(book.sort().values)
    assert (book[-1].item(), (book == 0).sum().item()) == (1.0, 1)
    assert (book < 0).sum() == (127 if signed else 0)
    # the values that bitsandbytes and torchao list
    expected = [0.0, 5.5e-7] if signed else [0.0, 3.25e-7]
    smallest = book[book >= 0][:2]
    torch.testing.assert_close(smallest, torch.tensor(expected))


@pytest.mark.parametrize("shape", [(5, BLOCK), (3, 2 * BLOCK + 17), (2, 3, 40), (0, 40)])
def test_a_value_comes_back_within_the_distance_of_its_neighbours(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    kept = Quantised(values, code_book(signed=True))
    assert kept.values().equal(torch.zeros(shape))
    kept.set(values)
    largest = values.abs().amax() if values.numel() else torch.tensor(0.0)
    assert ((kept.values() - values).abs() <= 0.008 * largest).all()  # half of the widest gap: 0.9 / 64 / 2


def test_rows_are_independent_so_that_any_ranks_may_share_them() -> None:
    values = torch.randn(6, 300, generator=torch.Generator().manual_seed(1))
    whole, part = (Quantised(v, code_book(signed=True)) for v in (values, values[2:4]))
    whole.set(values)
    part.set(values[2:4])
    assert whole.codes[2:4].equal(part.codes) and whole.scales[2:4].equal(part.scales)


def test_it_learns_as_adamw_does() -> None:
    generator = torch.Generator().manual_seed(2)
    inputs, wanted = (torch.randn(64, 32, generator=generator) for _ in range(2))
    ours, theirs = nn.Parameter(torch.zeros(32, 32)), nn.Parameter(torch.zeros(32, 32))
    settings = {"betas": (0.9, 0.95), "weight_decay": 0.1}
    mine = ShardedAdamW8bit({"a": ours}, epsilon=1e-8, betas=(0.9, 0.95), weight_decay=0.1)
    peer = torch.optim.AdamW([theirs], lr=1e-2, eps=1e-8, **settings)
    losses = []
    for _ in range(100):
        both = [(inputs @ matrix - wanted).square().mean() for matrix in (ours, theirs)]
        ours.grad, theirs.grad = (torch.autograd.grad(loss, m)[0] for loss, m in zip(both, (ours, theirs), strict=True))
        mine.step(1e-2)
        peer.step()
        losses.append([loss.item() for loss in both])
    assert losses[0][0] == losses[0][1] > 1.5 * losses[-1][1]
    assert losses[-1][0] == pytest.approx(losses[-1][1], rel=0.01)


def test_an_engine_gives_it_the_matrices_of_layers(
    start: Callable[..., TorchEngine], recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipe.__dict__, "optimizer", recipe.optimizer.model_copy(update={"name": "adamw8bit"}))
    state = start().state()
    codes = state["optimizer.exp_avg_codes.model.layers.0.mlp.up_proj.weight"]
    scales = state["optimizer.exp_avg_scales.model.layers.0.mlp.up_proj.weight"]
    assert (codes.tensor.dtype, codes.global_shape, scales.global_shape) == (torch.uint8, (688, 256), (688, 1))
    assert "optimizer.exp_avg.model.embed_tokens.weight" in state and "optimizer.exp_avg.model.norm.weight" in state
    assert "optimizer.exp_avg.model.layers.0.mlp.up_proj.weight" not in state
