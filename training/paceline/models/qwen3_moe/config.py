"""The shape of a Qwen3 with experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paceline.models.config import SWIGLU_NAMES, DecoderConfig, Routing, Shapes, sparse_tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen3MoeConfig(DecoderConfig):
    """Hugging Face's Qwen3MoeConfig; `intermediate_size` would be that of layers without experts, and there are none.

    With `use_sliding_window`, all layers have the window.
    """

    family: ClassVar[str] = "qwen3_moe"
    architecture: ClassVar[str] = "Qwen3MoeForCausalLM"
    fixed: ClassVar[Mapping[str, Any]] = {
        **DecoderConfig.fixed,
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
    aliases: ClassVar[Mapping[str, str]] = {"num_local_experts": "num_experts"}  # as transformers 5 writes it

    moe_intermediate_size: int
    num_experts: int
    num_experts_per_tok: int
    norm_topk_prob: bool
    router_aux_loss_coef: float
    use_sliding_window: bool = False
    sliding_window: int | None = None

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.use_sliding_window else None

    @property
    def routing(self) -> Routing:
        return Routing(
            experts=self.num_experts,
            experts_per_token=self.num_experts_per_tok,
            normalised=self.norm_topk_prob,
            balance=self.router_aux_loss_coef / self.num_hidden_layers,
        )

    def attention_tensors(self) -> Shapes:
        norms = {"q_norm.weight": (self.head_dim,), "k_norm.weight": (self.head_dim,)}
        return DecoderConfig.attention_tensors(self) | norms

    def feed_forward_tensors(self) -> Shapes:
        return sparse_tensors("mlp", SWIGLU_NAMES, self.num_experts, self.hidden_size, self.moe_intermediate_size)
