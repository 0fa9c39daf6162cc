"""Attention of a block of queries to a block of keys, with what is needed to join blocks: the logarithm of the sum of
exponentials of each query's scores (Milakov and Gimelshein, 2018; Dao et al., 2022).

Shapes: queries, outputs and their gradients [B, H, Q, D]; keys and values [B, H, K, D]; log-sums [B, H, Q], float32.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Seen = Tensor | Literal["all", "causal"]
"""What a block sees: everything, what is not later, or where a matrix [Q, K] is true."""

_aten = torch.ops.aten


def forward(query: Tensor, key: Tensor, value: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """The mixture of values and the log-sums; a query that sees nothing has zeros and minus infinity."""
    if isinstance(seen, Tensor) or not _has_flash(query):
        scores = _scores(query, key, seen)
        log_sums = scores.logsumexp(dim=-1)
        return _weights(scores, log_sums) @ value.float(), log_sums
    if query.is_cuda:
        output, log_sums, *_ = _aten._scaled_dot_product_flash_attention(query, key, value, 0.0, seen == "causal")
    else:
        output, log_sums = _aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, seen == "causal")
    return output.float(), log_sums.float()


def backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, log_sums: Tensor, seen: Seen
) -> tuple[Tensor, Tensor, Tensor]:
    """The block's part of the gradients of query, key and value; `output` and `log_sums` are over all blocks."""
    if isinstance(seen, Tensor) or not _has_flash(query):
        weights = _weights(_scores(query, key, seen), log_sums)
        gradient, scale = gradient.float(), 1 / math.sqrt(query.shape[-1])
        of_weights = gradient @ value.float().mT
        of_scores = weights * (of_weights - (gradient * output.float()).sum(dim=-1, keepdim=True)) * scale
        return of_scores @ key.float(), of_scores.mT @ query.float(), weights.mT @ gradient
    tensors = (gradient.to(query.dtype), query, key, value, output.to(query.dtype), log_sums)
    causal = seen == "causal"
    if query.is_cuda:
        # no sequences of several lengths, and no dropout, whose random state this would be
        lengths = (None, None, query.shape[2], key.shape[2])
        unused = torch.zeros(2, dtype=torch.uint64, device=query.device)
        found = _aten._scaled_dot_product_flash_attention_backward(*tensors, *lengths, 0.0, causal, unused, unused[:0])
    else:
        found = _aten._scaled_dot_product_flash_attention_for_cpu_backward(*tensors, 0.0, causal)
    of_query, of_key, of_value = (tensor.float() for tensor in found)
    return of_query, of_key, of_value


def join(output: Tensor, log_sums: Tensor, more: Tensor, more_log_sums: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the log-sums over the blocks behind both; every query of the first has seen something."""
    joined = torch.logaddexp(log_sums, more_log_sums)
    kept, added = (log_sums - joined).exp().unsqueeze(-1), (more_log_sums - joined).exp().unsqueeze(-1)
    return output * kept + more * added, joined


def _has_flash(query: Tensor) -> bool:
    if query.is_cuda:
        return query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] % 8 == 0
    return query.device.type == "cpu"


def _scores(query: Tensor, key: Tensor, seen: Seen) -> Tensor:
    scores = query.float() @ key.float().mT / math.sqrt(query.shape[-1])
    if isinstance(seen, str):
        if seen == "all":
            return scores
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return scores.masked_fill(~seen, -math.inf)


def _weights(scores: Tensor, log_sums: Tensor) -> Tensor:
    finite = log_sums.masked_fill(log_sums.isneginf(), 0.0)
    return (scores - finite.unsqueeze(-1)).exp()
