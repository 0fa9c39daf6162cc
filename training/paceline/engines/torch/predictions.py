"""What a pass of the torch engine says, as objectives ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from paceline.engines.objectives.base import Predictions
from paceline.engines.torch.loss import summed_cross_entropy, token_cross_entropy
from paceline.engines.torch.mesh import Axis


@dataclass(frozen=True, kw_only=True, slots=True)
class PassPredictions(Predictions):
    """Of `output`, logits [B, S, V / n] of this rank's chunk of the vocabulary or scores [B, S, 1], and the `targets`
    [B, S] of the same positions; `tp` has the other chunks."""

    output: Tensor
    targets: Tensor
    tp: Axis
    vocabulary: int

    def nats(self) -> Tensor:
        return summed_cross_entropy(self.output, self.targets, self.tp, vocabulary=self.vocabulary)

    def nats_by_sequence(self) -> Tensor:
        return token_cross_entropy(self.output, self.targets, self.tp, vocabulary=self.vocabulary).sum(dim=1)

    def scores(self) -> Tensor:
        return self.output.squeeze(-1).float()
