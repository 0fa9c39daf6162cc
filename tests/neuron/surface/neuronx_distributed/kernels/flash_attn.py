"""The mathematics of the flash attention kernel."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def nki_flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lnc: int = 1,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = True,
    mixed_precision: bool = True,
    seed: Tensor | None = None,
    hardware_type: Any = None,
    transpose_nki_inputs: bool = True,
) -> Tensor:
    """[B, H, S, D] or, transposed, [B, H, D, S] -> [B, S, H, D]."""
    query, key, value = (x.mT if transpose_nki_inputs else x for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=softmax_scale, enable_gqa=True)
    return mixed.transpose(1, 2)
