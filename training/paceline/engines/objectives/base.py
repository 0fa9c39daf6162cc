"""What a method minimises, once for every engine: from what a model says of a pass to a sum and what it is divided by.

An engine knows how its ranks share logits and positions; an objective knows what is to be learned. Between them stand
`Predictions`. What is minimised is the sum of `Terms.loss` over all passes of the global batch, over the number of its
terms: the exact mean, however passes and ranks cut the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor


class Predictions(Protocol):
    """What the model says of one pass of B sequences, in float32; gradients flow through all of it.

    Ranks that share the positions of a sequence have their part of `nats` each, and cannot say the rest.
    """

    def nats(self) -> Tensor:
        """The cross-entropy of all targets that are not IGNORED, summed: a scalar."""
        ...

    def nats_by_sequence(self) -> Tensor:
        """The same of every sequence apart: [B]."""
        ...

    def scores(self) -> Tensor:
        """What a model with the head `score` gives for every position: [B, S]."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Sums over the terms of one pass: `loss`, and `metrics` to look at, without gradients."""

    loss: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """One method. `head` is what the model ends with; with `needs_reference`, `terms` is given the nats by sequence of
    the model that training started from. `metrics` names what `Terms.metrics` holds.

    `count` is the number of terms in the global batch, where that does not depend on the data; None: it is the sum of
    `count_in` over the passes.
    """

    head: Literal["lm_head", "score"]
    needs_reference: bool
    metrics: tuple[str, ...]
    count: int | None

    def count_in(self, targets: Tensor) -> int:
        """How many terms a pass with `targets` [B, S] has."""
        ...

    def terms(self, predictions: Predictions, targets: Tensor, reference: Tensor | None) -> Terms:
        """The sums of a pass with `targets` [B, S]; `reference` is [B]."""
        ...
