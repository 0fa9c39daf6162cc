"""A reward model: a score for a whole answer, learned from pairs (Ouyang et al., 2022, equation 1)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from paceline.engines.base import IGNORED
from paceline.engines.objectives.base import Objective, Predictions, Terms


class Reward(Objective):
    """The mean over the `pairs` of the global batch of minus the log of the probability that Bradley and Terry (1952)
    give to the preferred answer. Sequences come in pairs: preferred, other, preferred, other.

    The score of a sequence is that of its last token, the one that the last target which is not IGNORED predicts.
    """

    head: Literal["lm_head", "score"] = "score"
    needs_reference = False
    metrics: tuple[str, ...] = ("reward_margin", "reward_accuracy", "preferred_reward", "other_reward")

    def __init__(self, *, pairs: int) -> None:
        self.count: int | None = pairs

    def count_in(self, targets: Tensor) -> int:
        return len(targets) // 2

    def terms(self, predictions: Predictions, targets: Tensor, reference: Tensor | None) -> Terms:
        scores = predictions.scores().gather(1, last_tokens(targets).unsqueeze(1)).squeeze(1)
        preferred, other = scores[0::2], scores[1::2]
        margin = preferred - other
        seen = (margin, (margin > 0).float(), preferred, other)
        return Terms(
            loss=-F.logsigmoid(margin).sum(),
            metrics={name: values.detach().sum() for name, values in zip(self.metrics, seen, strict=True)},
        )


def last_tokens(targets: Tensor) -> Tensor:
    """Where among the inputs the last token of each answer is, [B]; `targets` [B, S] are the inputs one later."""
    places = (targets != IGNORED) * targets.new_tensor(range(targets.shape[1]))
    return (places.amax(dim=1) + 1).clamp(max=targets.shape[1] - 1)
