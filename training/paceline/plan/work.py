"""The arithmetic that a pass costs a rank: what the machine does, and not what a model needs (plan/flops.py).

Attention sees only what its mask lets through. Products cost twice their forward pass backward, or once where weights
are frozen; attention costs 2.5 times (Dao, 2023, "FlashAttention-2", section 4.1). What backward computes again counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

from paceline.models.config import DecoderConfig
from paceline.plan.layout import Layout
from paceline.plan.parameters import layers_of
from paceline.recipe.schema import Recipe

_ATTENTION_BACKWARD = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Floating-point operations of one pass, forward and backward, on one rank. `attention` are those of attention
    alone, which a ring of context parallel hides behind."""

    products: float
    attention: float

    @property
    def total(self) -> float:
        return self.products + self.attention


def work(recipe: Recipe, config: DecoderConfig, layout: Layout, *, recomputed: float | None = None) -> Work:
    """Of the rank of the pipeline that has most. `recomputed` is the share of the layers' forward pass that is done
    again; without it, the recipe's."""
    chosen = recipe.parallelism
    stages = chosen.pp * chosen.stages_per_rank
    again = _recomputed(recipe) if recomputed is None else recomputed
    reference = 1.0 if recipe.method == "dpo" else 0.0
    products_times = 1 + (2.0 if recipe.adapter is None else 1.0) + reference
    attention_times = 1 + _ATTENTION_BACKWARD + reference
    tokens = layout.micro_sequences * recipe.data.sequence_length / layout.cp
    by_rank = []
    for rank in range(chosen.pp):
        own = [rank + chosen.pp * loop for loop in range(chosen.stages_per_rank)]
        layers = [layer for stage in own for layer in layers_of(config, stage, stages)]
        products = 2.0 * sum(_products(config)[layer] for layer in layers) * (products_times + again)
        if stages - 1 in own:
            products += 2.0 * (config.num_labels or config.vocab_size) * config.hidden_size * products_times
        seen = sum(_seen(config, layer, recipe.data.sequence_length) for layer in layers)
        attention = 4.0 * config.num_attention_heads * config.head_dim * seen * (attention_times + again)
        by_rank.append(Work(products=products * tokens / layout.tp, attention=attention * tokens / layout.tp))
    return max(by_rank, key=lambda of_rank: of_rank.total)


def _recomputed(recipe: Recipe) -> float:
    """Selective checkpointing keeps products and attention."""
    full = recipe.compute.activation_checkpointing == "full"
    return 1 / recipe.compute.checkpoint_every if full else 0.0


def _seen(config: DecoderConfig, layer: int, length: int) -> float:
    """How many positions a position sees on average: all before it, or its window. Documents are not told apart."""
    window = min(config.window(layer) or length, length)
    return window - window**2 / (2 * length)


@cache
def _products(config: DecoderConfig) -> tuple[int, ...]:
    """By layer, the parameters that multiply a token: of experts those that it is sent to."""
    routing = getattr(config, "routing", None)
    dense, experts = [0] * config.num_hidden_layers, [0] * config.num_hidden_layers
    for name, shape in config.tensors().items():
        if name.startswith("model.layers.") and len(shape) > 1:
            (experts if ".experts." in name else dense)[int(name.split(".")[2])] += prod(shape)
    if routing is not None:
        experts = [count * routing.experts_per_token // routing.experts for count in experts]
    return tuple(a + b for a, b in zip(dense, experts, strict=True))
