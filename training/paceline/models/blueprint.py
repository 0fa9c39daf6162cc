"""What an engine needs to know to build any model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from paceline.models.layers import LayerFactory
from paceline.models.sharding import ShardingPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Blueprint:
    """A model before it is built. The module maps token ids [B, S], and optionally the numbers of their documents
    [B, S], to logits [B, S, vocabulary].

    `initializer_range` is the standard deviation for `models.initialise`.
    """

    build: Callable[[LayerFactory], nn.Module]
    sharding: ShardingPlan
    initializer_range: float
