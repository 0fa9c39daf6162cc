"""Element types of safetensors as numpy sees them, without torch.

numpy has no bfloat16: its 16 bits, which are the upper half of a float32, travel as an unsigned integer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
FLOATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def cast(values: Array, source: str, target: str) -> Array:
    """`values` of floating type `source` as `target`, rounded to the nearest, ties to even, as torch does.

    What is too large becomes infinite.
    """
    if source == target:
        return values
    wide = _widened(values) if source == "BF16" else values.astype("<f4", copy=False)
    if target == "BF16":
        return _rounded(wide)
    with np.errstate(over="ignore"):
        return wide.astype(NUMPY[target])


def _widened(halves: Array) -> Array:
    return (halves.astype("<u4") << 16).view("<f4")


def _rounded(values: Array) -> Array:
    bits = np.ascontiguousarray(values).view("<u4")
    halves = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    # rounding could carry a NaN into infinity
    return np.where(np.isnan(values), np.uint16(0x7FC0), halves)
