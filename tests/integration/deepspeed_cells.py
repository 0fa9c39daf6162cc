"""The cells of DeepSpeed's parity: what is learned, by which family, in which partition of the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.integration.parity_cells import EXPERTS, SIZES

VOCABULARY, LENGTH, SEQUENCES, MICRO, STEPS = 61, 16, 8, 2, 50
PRESETS: dict[str, dict[str, Any]] = {
    "llama": SIZES | {"num_hidden_layers": 2},
    "mistral": SIZES | {"num_hidden_layers": 2, "sliding_window": 11},
    "mixtral": SIZES | EXPERTS | {"num_hidden_layers": 2, "num_local_experts": 4},
    "qwen3": SIZES | {"num_hidden_layers": 2, "tie_word_embeddings": True},
}
LORA: dict[str, Any] = {"rank": 4, "alpha": 8.0}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One layout of one engine; what has the same `subject` learns the same."""

    engine: str
    ranks: int
    family: str = "llama"
    method: str = "pretrain"
    adapter: dict[str, Any] | None = None
    parallelism: dict[str, int] = field(default_factory=dict)
    compute: dict[str, str] = field(default_factory=dict)
    steps: int = STEPS

    @property
    def subject(self) -> str:
        return f"{self.family} {self.method}{'' if self.adapter is None else ' lora'}"

    def __str__(self) -> str:
        layout = ", ".join(f"{key} {value}" for key, value in {**self.parallelism, **self.compute}.items())
        return f"{self.subject}: {self.engine} on {self.ranks}" + (f", {layout}" if layout else "")


def _deepspeed(ranks: int, zero: int, **cell: Any) -> Cell:
    parallelism = {"zero": zero, **cell.pop("parallelism", {})}
    return Cell(engine="deepspeed", ranks=ranks, parallelism=parallelism, **cell)


SUBJECTS: list[dict[str, Any]] = [
    {},
    {"family": "mistral", "steps": 10},
    {"family": "mixtral", "steps": 10},
    {"family": "qwen3", "steps": 10},
    {"method": "sft", "steps": 10},
    {"method": "dpo", "steps": 10},
    {"method": "reward", "steps": 10},
    {"method": "sft", "adapter": LORA, "steps": 10},
    {"method": "dpo", "adapter": LORA, "steps": 10},
]
CELLS: list[Cell] = [
    *(Cell(engine="torch", ranks=1, **subject) for subject in SUBJECTS),
    _deepspeed(1, 1),
    *(_deepspeed(2, zero) for zero in (1, 2, 3)),
    _deepspeed(2, 1, parallelism={"cp": 2}),
    _deepspeed(2, 2, compute={"offload": "cpu"}, steps=10),
    _deepspeed(2, 3, compute={"offload": "cpu"}, steps=10),
    _deepspeed(2, 3, family="mistral", parallelism={"cp": 2}, steps=10),
    _deepspeed(2, 1, family="mixtral", steps=10),
    _deepspeed(2, 3, family="mixtral", parallelism={"cp": 2}, steps=10),
    *(_deepspeed(2, zero, family="qwen3", steps=10) for zero in (2, 3)),
    *(_deepspeed(2, zero, method="sft", steps=10) for zero in (1, 3)),
    *(_deepspeed(2, zero, method="dpo", steps=10) for zero in (2, 3)),
    _deepspeed(2, 2, method="reward", steps=10),
    *(_deepspeed(2, zero, method="sft", adapter=LORA, steps=10) for zero in (1, 3)),
    _deepspeed(2, 3, method="dpo", adapter=LORA, steps=10),
]
JOURNEY: list[Cell] = [
    Cell(engine="torch", ranks=2, steps=3),
    _deepspeed(2, 1, steps=3),
    _deepspeed(2, 3, steps=3),
    _deepspeed(1, 2, steps=3),
    Cell(engine="torch", ranks=2, steps=3),
]
"""One run whose engine and layout change every few steps: it starts where the last one stopped."""
