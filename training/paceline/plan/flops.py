"""Model FLOPs utilisation: the arithmetic that a model needs, over what the accelerators could have done meanwhile.

The convention is that of PaLM (Chowdhery et al., 2022, appendix B): a token costs 6 N + 12 L H S operations, forward
and backward, where N are the parameters that multiply it, L the layers, H the width of all heads together and S the
length of the sequence. Attention is counted in full, though half of it is masked; operations that are done again to
save memory do not count. N holds no table that is only looked up (an embedding that is not the head too), and of
experts only those that a token is sent to. The peak is the dense bfloat16 one of the catalog, whatever is computed in.
"""

from __future__ import annotations

import math

from paceline.catalog.instance_types import instance_types
from paceline.models.config import DecoderConfig, Routing

TERA = 1e12


def flops_per_token(config: DecoderConfig, sequence_length: int) -> float:
    """Operations that one token of a training step needs, forward and backward."""
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * sequence_length
    return 6.0 * active_parameters(config) + attention


def active_parameters(config: DecoderConfig) -> int:
    """N: parameters that multiply one token."""
    routing: Routing | None = getattr(config, "routing", None)
    shared = experts = 0
    for name, shape in config.tensors().items():
        if ".experts." in name:
            experts += math.prod(shape)
        elif name != "model.embed_tokens.weight" or config.tie_word_embeddings:
            shared += math.prod(shape)
    return shared + (experts * routing.experts_per_token // routing.experts if routing else 0)


def peak_flops(device: str) -> float | None:
    """Dense bfloat16 operations per second of the accelerator that its driver calls `device`; None if the catalog does
    not know it, as no CPU."""
    words = set(device.replace("-", " ").split())
    for row in instance_types().values():
        maker, model, *_ = row.accelerator.split()
        if {maker, model} <= words:
            return row.bf16_dense_tflops * TERA
    return None
