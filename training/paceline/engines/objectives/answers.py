"""Supervised fine-tuning: the cross-entropy of the tokens that are answers; what they answer to is only read."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from paceline.engines.base import IGNORED
from paceline.engines.objectives.base import Objective, Predictions, Terms


class Answers(Objective):
    """The mean over the targets of the global batch that are not IGNORED, in nats per token."""

    head: Literal["lm_head", "score"] = "lm_head"
    needs_reference = False
    metrics: tuple[str, ...] = ()
    count: int | None = None

    def count_in(self, targets: Tensor) -> int:
        return int((targets != IGNORED).sum())

    def terms(self, predictions: Predictions, targets: Tensor, reference: Tensor | None) -> Terms:
        return Terms(loss=predictions.nats())
