"""The cells of the parity of methods: what is learned, how, and in which layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VOCABULARY, LENGTH, SEQUENCES, MICRO, STEPS = 61, 16, 8, 2, 2
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
_TP = {"tp": 2}
_TP_ONLY = {"tp": 2, "sequence_parallel": False}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method in one layout of two ranks."""

    method: str
    adapter: dict[str, Any] | None = None
    parallelism: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        kind = "" if self.adapter is None else " qlora" if self.adapter.get("quantize") else " lora"
        return f"{self.method}{kind} {self.parallelism or 'dp_shard'}"


LORA: dict[str, Any] = {"rank": 4, "alpha": 8.0}
QLORA: dict[str, Any] = LORA | {"quantize": "nf4", "targets": ["q_proj", "v_proj"]}

CELLS = [
    Cell(method="sft"),
    Cell(method="sft", parallelism=_TP),
    Cell(method="sft", parallelism={"pp": 2}),
    Cell(method="dpo"),
    Cell(method="dpo", parallelism=_TP),
    Cell(method="reward"),
    Cell(method="reward", parallelism=_TP_ONLY),
    Cell(method="sft", adapter=LORA),
    Cell(method="sft", adapter=LORA, parallelism=_TP),
    Cell(method="dpo", adapter=LORA, parallelism=_TP_ONLY),
    Cell(method="reward", adapter=LORA),
    Cell(method="sft", adapter=QLORA),
    Cell(method="dpo", adapter=QLORA),
]
