"""Direct preference optimisation (DPO: Rafailov et al., 2023).

The reward of an answer is beta times how much likelier it has become than it was for the first model. The loss of a
pair is minus the log of the probability that Bradley and Terry (1952) give to the preferred answer. With
`label_smoothing` e, each pair counts 1 - e as labelled and e the other way (Mitchell, 2023, "A note on DPO with noisy
preferences").
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from paceline.engines.objectives.base import Objective, Predictions, Terms


class DirectPreference(Objective):
    """The mean over the `pairs` of the global batch. Sequences come in pairs: preferred, other, preferred, other."""

    head: Literal["lm_head", "score"] = "lm_head"
    needs_reference = True
    metrics: tuple[str, ...] = ("reward_margin", "reward_accuracy", "preferred_reward", "other_reward")

    def __init__(self, *, pairs: int, beta: float, label_smoothing: float) -> None:
        self.count: int | None = pairs
        self._beta = beta
        self._smoothing = label_smoothing

    def count_in(self, targets: Tensor) -> int:
        return len(targets) // 2

    def terms(self, predictions: Predictions, targets: Tensor, reference: Tensor | None) -> Terms:
        assert reference is not None
        rewards = self._beta * (reference - predictions.nats_by_sequence())
        preferred, other = rewards[0::2], rewards[1::2]
        margin = preferred - other
        right, wrong = 1 - self._smoothing, self._smoothing
        loss = -(right * F.logsigmoid(margin) + wrong * F.logsigmoid(-margin))
        seen = (margin, (margin > 0).float(), preferred, other)
        return Terms(
            loss=loss.sum(),
            metrics={name: values.detach().sum() for name, values in zip(self.metrics, seen, strict=True)},
        )
