from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paceline.checkpoint.dtypes import FLOATS, NUMPY, cast


def as_torch(values: np.ndarray, dtype: str) -> torch.Tensor:
    tensor = torch.from_numpy(values.copy())
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_types_change_as_torch_changes_them(numbers: list[float]) -> None:
    for source in FLOATS:
        stored = torch.tensor(numbers, dtype=torch.float32).to(getattr(torch, source))
        raw = stored.view(torch.uint16).numpy() if source == "bfloat16" else stored.numpy()
        for target in FLOATS:
            with np.errstate(over="raise", invalid="raise"):
                result = cast(raw, FLOATS[source], FLOATS[target])
            assert result.dtype == np.dtype(NUMPY[FLOATS[target]])
            expected = stored.to(getattr(torch, target))
            torch.testing.assert_close(as_torch(result, target), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFF800001])
def test_no_nan_becomes_infinite(bits: int) -> None:
    halves = cast(np.array([bits], dtype="<u4").view("<f4"), "F32", "BF16")
    assert np.isnan(cast(halves, "BF16", "F32")).all()
