"""Pre-training: the cross-entropy of every next token."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from paceline.engines.objectives.base import Objective, Predictions, Terms


class NextToken(Objective):
    """The mean over the `tokens` of the global batch, in nats per token."""

    head: Literal["lm_head", "score"] = "lm_head"
    needs_reference = False
    metrics: tuple[str, ...] = ()

    def __init__(self, *, tokens: int) -> None:
        self.count: int | None = tokens

    def count_in(self, targets: Tensor) -> int:
        return targets.numel()

    def terms(self, predictions: Predictions, targets: Tensor, reference: Tensor | None) -> Terms:
        return Terms(loss=predictions.nats())
