"""The mathematics of the ring attention kernel: rank r of a ring has the r-th piece of every sequence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from neuronx_distributed.parallel_layers import parallel_state, regions


def nki_ring_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rank_id: int,
    src_tgt_pairs: list[list[int]],
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = True,
    mixed_precision: bool = True,
    seed: Tensor | None = None,
) -> Tensor:
    """[B, H, S / n, D] and twice the same, this rank's piece -> [B, S / n, H, D]."""
    group = parallel_state.get_context_model_parallel_group()
    assert [target for source, target in src_tgt_pairs if source == rank_id], "the ring does not pass this rank"
    keys, values = (regions.gather(x, 2, group) for x in (k, v))
    at = torch.arange(q.shape[2]) + group.rank() * q.shape[2]
    seen = torch.arange(keys.shape[2]) <= at[:, None]
    mixed = F.scaled_dot_product_attention(q, keys, values, seen, scale=softmax_scale, enable_gqa=True)
    return mixed.transpose(1, 2)
