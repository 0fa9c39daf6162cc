from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paceline.models.kernels import KERNELS


def brute_force(query: Tensor, key: Tensor, value: Tensor, window: int | None, documents: Tensor | None) -> Tensor:
    """One query at a time, from the definition."""
    mixed = torch.empty_like(query)
    groups = query.shape[1] // key.shape[1]
    for sequence in range(query.shape[0]):
        for head in range(query.shape[1]):
            for at in range(query.shape[2]):
                first = 0 if window is None else max(0, at - window + 1)
                seen = [
                    k
                    for k in range(first, at + 1)
                    if documents is None or documents[sequence, k] == documents[sequence, at]
                ]
                scores = key[sequence, head // groups, seen] @ query[sequence, head, at] / query.shape[-1] ** 0.5
                mixed[sequence, head, at] = scores.softmax(0) @ value[sequence, head // groups, seen]
    return mixed


@settings(deadline=None, max_examples=12)
@given(
    window=st.none() | st.integers(1, 14),
    cuts=st.none() | st.lists(st.integers(0, 2), min_size=24, max_size=24),
)
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_computes_attention(name: str, window: int | None, cuts: list[int] | None) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 12, 16, generator=generator)
    key, value = torch.randn(2, 2, 2, 12, 16, generator=generator)
    documents = None if cuts is None else torch.tensor(cuts).view(2, 12).cumsum(dim=1)
    kernel = KERNELS[name]
    mask = kernel.mask(kernel.positions(torch.zeros(2, 12, dtype=torch.int64)), window=window, documents=documents)
    expected = brute_force(query, key, value, window, documents)
    torch.testing.assert_close(kernel.attend(query, key, value, mask), expected, rtol=1e-4, atol=1e-5)


def test_plain_causal_attention_needs_no_mask() -> None:
    positions = torch.arange(8)
    assert KERNELS["sdpa"].mask(positions, window=None, documents=None) is None
    assert KERNELS["sdpa"].mask(positions, window=8, documents=None) is None
    assert KERNELS["sdpa"].mask(positions, window=7, documents=None) is not None
