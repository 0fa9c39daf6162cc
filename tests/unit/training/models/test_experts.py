from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.models.config import Routing
from paceline.models.experts import Experts, SparseFeedForward, balance_loss
from paceline.models.layers import PlainLayers, grouped_kernel, grouped_loop

ROUTING = Routing(experts=5, experts_per_token=2, normalised=True, balance=0.0)
HIDDEN, INTERMEDIATE = 12, 16


def sparse(routing: Routing = ROUTING, *, loss_tokens: int = 1) -> SparseFeedForward:
    layers = PlainLayers(loss_tokens=loss_tokens)
    experts = Experts(routing.experts, HIDDEN, INTERMEDIATE, layers)
    module = SparseFeedForward(routing, experts, HIDDEN, layers)
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    return module


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(3, 7, HIDDEN, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalised", [True, False])
def test_every_token_gets_the_weighted_sum_of_its_experts(hidden: Tensor, normalised: bool) -> None:
    module = sparse(dataclasses.replace(ROUTING, normalised=normalised))
    weight = dict(module.named_parameters())
    expected = torch.zeros_like(hidden)
    for at in range(hidden.shape[0] * hidden.shape[1]):
        token = hidden.flatten(0, 1)[at]
        probabilities = (weight["gate.weight"] @ token).softmax(0)
        chosen = probabilities.argsort(descending=True)[:2]
        total = probabilities[chosen].sum() if normalised else 1.0
        for expert in chosen:
            gate, up, down = (
                weight[f"experts.{name}.weight"][expert] for name in ("gate_proj", "up_proj", "down_proj")
            )
            share = probabilities[expert] / total
            expected.flatten(0, 1)[at] += share * (down @ (F.silu(gate @ token) * (up @ token)))
    torch.testing.assert_close(module(hidden), expected)


def test_an_expert_that_no_token_chose_has_a_gradient_of_zero(hidden: Tensor) -> None:
    module = sparse()
    ones = torch.ones_like(hidden)
    module.gate.get_parameter("weight").data[3] = -100.0
    module(ones + hidden.abs()).sum().backward()
    gradient = module.experts.get_parameter("up_proj.weight").grad
    assert gradient is not None
    used = gradient.abs().sum(dim=(1, 2)) > 0
    assert not used[3] and used.any()


def test_one_kernel_does_what_the_loop_does() -> None:
    counts = torch.tensor([3, 0, 5, 8])
    generator = torch.Generator().manual_seed(2)
    rows, weight = torch.randn(16, 32, generator=generator), torch.randn(4, 24, 32, generator=generator)
    results = []
    for product in (grouped_kernel, grouped_loop):
        inputs = [tensor.bfloat16().requires_grad_() for tensor in (rows, weight)]
        output = product(*inputs, counts)
        output.float().square().sum().backward()
        results.append((output, *(tensor.grad for tensor in inputs)))
    for kernel, loop in zip(*results, strict=True):
        torch.testing.assert_close(kernel, loop, rtol=0.02, atol=0.02)


def test_balance_is_k_when_even_and_e_times_k_when_one_expert_gets_all() -> None:
    even = torch.full((10, 5), 0.2)
    assert balance_loss(even, torch.full((5,), 0.4)) == pytest.approx(2.0)
    one = F.one_hot(torch.zeros(10, dtype=torch.int64), 5).float()
    assert balance_loss(one, torch.tensor([2.0, 0, 0, 0, 0])) == pytest.approx(10.0)


def test_the_balance_loss_joins_what_is_minimised(hidden: Tensor) -> None:
    tokens = hidden.flatten(0, 1)
    module = sparse(dataclasses.replace(ROUTING, balance=0.5), loss_tokens=len(tokens))
    (module(hidden) * 0.0).sum().backward()
    gate = module.gate.get_parameter("weight")
    expected = torch.zeros_like(gate).requires_grad_()
    expected.data.copy_(gate.data)
    probabilities = (tokens @ expected.T).softmax(-1)
    shares = torch.bincount(probabilities.topk(2).indices.flatten(), minlength=5) / len(tokens)
    (0.5 * balance_loss(probabilities, shares)).backward()
    torch.testing.assert_close(gate.grad, expected.grad)


def test_two_passes_of_half_a_batch_weigh_as_much_as_one(hidden: Tensor) -> None:
    """The loss of a layer is a mean over the batch, however many passes it takes."""
    module = sparse(dataclasses.replace(ROUTING, balance=0.5), loss_tokens=2 * hidden.shape[0] * hidden.shape[1])
    for _ in range(2):
        (module(hidden) * 0.0).sum().backward()
    twice = module.gate.get_parameter("weight").grad
    whole = sparse(dataclasses.replace(ROUTING, balance=0.5), loss_tokens=hidden.shape[0] * hidden.shape[1])
    (whole(hidden) * 0.0).sum().backward()
    torch.testing.assert_close(twice, whole.gate.get_parameter("weight").grad)
