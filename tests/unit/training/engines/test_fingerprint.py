from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engines.torch.fingerprint import fingerprint

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8]


def flip(tensor: torch.Tensor, byte: int, bit: int) -> None:
    flat = tensor.view(-1).view(torch.uint8)
    flat[byte % flat.numel()] ^= 1 << bit


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_every_single_bit_counts(sizes: list[int], dtype: torch.dtype, data: st.DataObject) -> None:
    tensors = [torch.arange(1, n + 1).to(dtype) for n in sizes]
    before = fingerprint(tensors).item()
    victim = data.draw(st.sampled_from(tensors))
    flip(victim, data.draw(st.integers(0, 71)), data.draw(st.integers(0, 7)))
    assert fingerprint(tensors).item() != before


def test_equal_tensors_that_change_places_are_seen() -> None:
    one, other = torch.ones(8), torch.zeros(8)
    assert fingerprint([one, other]).item() != fingerprint([other, one]).item()


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_depends_on_the_bits_only(dtype: torch.dtype) -> None:
    whole = torch.arange(24).to(dtype)
    part = whole[3:19]  # begins in the middle of a 64-bit word
    assert fingerprint([part]).item() != fingerprint([whole[4:20]]).item()
    assert fingerprint([part, whole[:0]]).item() == fingerprint([part, whole[:0]]).item()
