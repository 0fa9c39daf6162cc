"""The cells of the parity of engine nxd with engine torch: what is trained, how, and in which layout of two ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VOCABULARY, LENGTH, SEQUENCES, MICRO, STEPS = 64, 16, 8, 2, 4
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.2,
}
LORA: dict[str, Any] = {"rank": 4, "alpha": 8.0}
_TP = {"tp": 2}
_TP_ONLY = {"tp": 2, "sequence_parallel": False}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method and one family in one layout; `sizes` differ from `SIZES`, `kernel` is the attention."""

    family: str = "llama"
    method: str = "pretrain"
    adapter: dict[str, Any] | None = None
    parallelism: dict[str, Any] = field(default_factory=dict)
    compute: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.family, self.method, "lora" if self.adapter else "", self.parallelism, self.compute, self.sizes]
        return " ".join(str(part) for part in parts if part)

    @property
    def genuine(self) -> bool:
        """Whether NeuronX Distributed itself can do it without a Neuron device: its kernels cannot."""
        return "cp" not in self.parallelism and "attention" not in self.compute


CELLS = [
    Cell(),
    Cell(parallelism=_TP),
    Cell(parallelism=_TP_ONLY),
    Cell(parallelism={"pp": 2}),
    Cell(parallelism={"cp": 2}),
    Cell(parallelism=_TP, sizes={"num_key_value_heads": 1}),
    Cell(parallelism=_TP_ONLY, compute={"attention": "nki_flash", "activation_checkpointing": "full"}),
    Cell(parallelism=_TP, compute={"activation_checkpointing": "full"}),
    Cell(parallelism={"pp": 2}, compute={"activation_checkpointing": "selective"}),
    Cell(family="qwen2", parallelism=_TP, sizes={"num_key_value_heads": 1, "tie_word_embeddings": True}),
    Cell(family="qwen3", parallelism=_TP, sizes={"tie_word_embeddings": True}),
    Cell(family="qwen3", parallelism=_TP_ONLY),
    Cell(family="mistral", parallelism=_TP, sizes={"sliding_window": 5}),
    Cell(method="sft"),
    Cell(method="sft", parallelism=_TP),
    Cell(method="sft", parallelism={"pp": 2}),
    Cell(method="dpo", parallelism=_TP),
    Cell(method="sft", adapter=LORA, parallelism=_TP),
    Cell(method="dpo", adapter=LORA, parallelism=_TP_ONLY),
    Cell(method="sft", adapter=LORA, parallelism=_TP, sizes={"num_key_value_heads": 1}),
]
