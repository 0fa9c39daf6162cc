"""What a pass of this engine says, as objectives ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from neuronx_distributed.parallel_layers.loss_functions import parallel_cross_entropy
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_size
from torch import Tensor
from torch.nn import functional as F

from paceline.engines.base import IGNORED
from paceline.engines.objectives.base import Predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class PassPredictions(Predictions):
    """Of `logits` [B, S, V / n] of this rank's chunk of the vocabulary, and the `targets` [B, S] of the same positions.

    The logits are spent: NeuronX Distributed's cross-entropy computes in their memory.
    """

    logits: Tensor
    targets: Tensor

    def nats(self) -> Tensor:
        return self.by_token().sum()

    def nats_by_sequence(self) -> Tensor:
        return self.by_token().sum(dim=1)

    def scores(self) -> Tensor:
        raise AssertionError("paceline.recipe.engines refuses what needs scores")

    def by_token(self) -> Tensor:
        """In float32, zero where the target is IGNORED: [B, S]. Shapes never depend on what is ignored."""
        counted = self.targets != IGNORED
        wanted = self.targets.masked_fill(~counted, 0)
        if get_tensor_model_parallel_size() == 1:
            nats = F.cross_entropy(self.logits.flatten(0, 1).float(), wanted.flatten(), reduction="none")
        else:
            nats = parallel_cross_entropy(self.logits.float(), wanted)
        return nats.view(self.targets.shape) * counted
