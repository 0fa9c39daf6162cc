"""Weights in 4 bits: how far they are from what they were."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.models.nf4 import BLOCK, CODE_BOOK, dequantise, linear, quantise

WIDEST_GAP = max(high - low for low, high in pairwise(CODE_BOOK))


def test_the_code_book_is_made_of_quantiles_as_the_paper_says() -> None:
    """Sixteen bins that a normal distribution hits equally often, with an exact zero: section 3 of the paper, whose
    tails end at (1 - 1 / 32 + 1 - 1 / 30) / 2."""

    def quantile(p: torch.Tensor) -> torch.Tensor:
        return math.sqrt(2) * torch.erfinv(2 * p.double() - 1)

    tail = (1 - 1 / 32 + 1 - 1 / 30) / 2
    above = quantile(torch.linspace(tail, 0.5, 9)[:-1])
    below = -quantile(torch.linspace(tail, 0.5, 8)[:-1])
    book = torch.cat((above, below, torch.zeros(1))).sort().values
    torch.testing.assert_close(torch.tensor(CODE_BOOK).double(), book / book.abs().max(), atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 200), st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_no_weight_moves_further_than_half_a_gap_of_its_block(rows: int, columns: int, size: float, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    again = dequantise(*quantise(weight), columns, torch.float32)
    for first in range(0, columns, BLOCK):
        block, restored = weight[:, first : first + BLOCK], again[:, first : first + BLOCK]
        bound = block.abs().amax(dim=1, keepdim=True) * WIDEST_GAP / 2
        assert ((block - restored).abs() <= bound * (1 + 1e-5)).all()


def test_a_normal_weight_loses_a_tenth_of_its_size() -> None:
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    error = (weight - dequantise(*quantise(weight), 256, torch.float32)).square().mean().sqrt()
    assert 0.05 < error < 0.1


def test_what_was_quantised_is_not_changed_again() -> None:
    weight = torch.randn(4, 128, generator=torch.Generator().manual_seed(0))
    once = dequantise(*quantise(weight), 128, torch.float32)
    torch.testing.assert_close(dequantise(*quantise(once), 128, torch.float32), once)


def test_zeros_stay_zeros() -> None:
    assert dequantise(*quantise(torch.zeros(2, 70)), 70, torch.float32).abs().max() == 0


def test_a_weight_takes_four_and_a_half_bits() -> None:
    codes, scales = quantise(torch.ones(8, 256))
    assert 8 * (codes.nbytes + scales.nbytes) / (8 * 256) == pytest.approx(4.5)


def test_products_and_gradients_are_those_of_the_restored_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(6, 80, generator=generator), torch.randn(3, 80, generator=generator, requires_grad=True)
    codes, scales = quantise(weight)
    restored = dequantise(codes, scales, 80, torch.float32)
    product = linear(x, codes, scales)
    torch.testing.assert_close(product, x @ restored.T)
    product.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * product @ restored)
