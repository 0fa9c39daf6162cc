"""The shape of a Mixtral."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paceline.models.config import DecoderConfig, Routing, Shapes, sparse_tensors

EXPERT_NAMES = ("w1", "w3", "w2")


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtralConfig(DecoderConfig):
    """Hugging Face's MixtralConfig."""

    family: ClassVar[str] = "mixtral"
    architecture: ClassVar[str] = "MixtralForCausalLM"
    fixed: ClassVar[Mapping[str, Any]] = {**DecoderConfig.fixed, "router_jitter_noise": 0.0}

    num_local_experts: int
    num_experts_per_tok: int
    router_aux_loss_coef: float
    sliding_window: int | None = None

    def window(self, layer: int) -> int | None:
        return self.sliding_window

    @property
    def routing(self) -> Routing:
        return Routing(
            experts=self.num_local_experts,
            experts_per_token=self.num_experts_per_tok,
            normalised=True,
            balance=self.router_aux_loss_coef / self.num_hidden_layers,
        )

    def feed_forward_tensors(self) -> Shapes:
        return sparse_tensors(
            "block_sparse_moe", EXPERT_NAMES, self.num_local_experts, self.hidden_size, self.intermediate_size
        )
