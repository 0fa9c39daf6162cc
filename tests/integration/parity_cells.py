"""The cells of the parity table: models small enough for many worlds, and the layouts that each is trained in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

SIZES: dict[str, Any] = {
    "vocab_size": 61,  # not a multiple of anything: the last rank's part is short
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.2,
}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "router_aux_loss_coef": 0.1}
PRESETS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "mistral": SIZES | {"sliding_window": 11},
    "mixtral": SIZES | EXPERTS | {"num_local_experts": 4},
    "qwen3": SIZES | {"tie_word_embeddings": True},
    "qwen3_moe": SIZES | EXPERTS | {"moe_intermediate_size": 24, "num_experts": 8, "norm_topk_prob": True},
}
SPARSE = ("mixtral", "qwen3_moe")
LENGTH, SEQUENCES, MICRO, STEPS = 32, 16, 2, 2
CLIP = 0.5  # far below the norms that are met


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One layout: a name for the table, and what the recipe says."""

    name: str
    ranks: int
    parallelism: dict[str, Any] = field(default_factory=dict)
    compute: dict[str, Any] = field(default_factory=dict)
    families: tuple[str, ...] = ("llama", "mistral", "mixtral", "qwen3")
    documents: bool = False

    def __str__(self) -> str:
        return f"{self.name} on {self.ranks}"


def _both(name: str, **parallelism: Any) -> list[Cell]:
    """On 2 and on 4 ranks, along the axis whose degree is None."""
    return [
        Cell(name=name, ranks=ranks, parallelism={k: ranks if v is None else v for k, v in parallelism.items()})
        for ranks in (2, 4)
    ]


def _four(name: str, **parallelism: Any) -> list[Cell]:
    return [Cell(name=name, ranks=4, parallelism=parallelism)]


def _recomputed(name: str, kind: str, **parallelism: Any) -> list[Cell]:
    return [Cell(name=name, ranks=2, parallelism=parallelism, compute={"activation_checkpointing": kind})]


def _masked(name: str, ranks: int, family: str, **parallelism: Any) -> Cell:
    named = f"{name}, document mask"
    return Cell(name=named, ranks=ranks, parallelism=parallelism, families=(family,), documents=True)


def _more(cells: list[Cell], *families: str) -> list[Cell]:
    return [replace(cell, families=families) for cell in cells]


CELLS: list[Cell] = [
    *_both("DDP", dp_replicate=None),
    *_both("FSDP2"),
    *_four("HSDP", dp_replicate=2),
    *_both("TP", tp=None, sequence_parallel=False),
    *_both("TP+SP", tp=None),
    *_both("PP 1F1B", pp=None),
    Cell(name="PP interleaved", ranks=2, parallelism={"pp": 2, "stages_per_rank": 2}),
    Cell(name="PP zero bubble", ranks=2, parallelism={"pp": 2, "stages_per_rank": 2, "pp_schedule": "zero_bubble"}),
    *_both("CP", cp=None),
    *_more(_both("EP", ep=None), *SPARSE),
    *_four("FSDP x TP", tp=2, sequence_parallel=False),
    *_four("FSDP x TP+SP", tp=2),
    *_four("PP x FSDP", pp=2),
    *_four("PP interleaved x FSDP", pp=2, stages_per_rank=2),
    *_four("PP zero bubble x FSDP", pp=2, stages_per_rank=2, pp_schedule="zero_bubble"),
    *_four("FSDP x CP", cp=2),
    *_more(_four("EP x FSDP", ep=2), *SPARSE),
    *_more(_four("PP x TP+SP", pp=2, tp=2), "qwen3", "mixtral"),
    *_more(_four("CP x TP+SP", cp=2, tp=2), "mistral", "mixtral"),
    *_more(_four("PP x CP", pp=2, cp=2), "mistral"),
    *_more(_four("EP x CP", ep=2, cp=2), "qwen3_moe"),
    *_more(_four("EP x TP+SP", ep=2, tp=2), "qwen3_moe"),
    *_more(_four("EP x PP", ep=2, pp=2), "qwen3_moe"),
    *_more(_recomputed("FSDP2, full checkpointing", "full"), "llama"),
    *_more(_recomputed("TP+SP, selective checkpointing", "selective", tp=2), "qwen3"),
    *_more(_recomputed("PP 1F1B, full checkpointing", "full", pp=2), "llama"),
    *_more(_recomputed("EP, full checkpointing", "full", ep=2), "mixtral"),
    _masked("FSDP2", 2, "mistral"),
    _masked("TP+SP", 2, "llama", tp=2),
    _masked("CP", 2, "mistral", cp=2),
    _masked("PP 1F1B", 2, "llama", pp=2),
    _masked("PP zero bubble", 2, "mistral", pp=2, stages_per_rank=2, pp_schedule="zero_bubble"),
    _masked("PP x CP", 4, "mistral", pp=2, cp=2),
]
COMPILED: list[Cell] = [
    Cell(name="CP, compiled", ranks=2, parallelism={"cp": 2}, compute={"compile": True}, families=("mistral",)),
    Cell(name="PP 1F1B, compiled", ranks=2, parallelism={"pp": 2}, compute={"compile": True}, families=("llama",)),
]
"""Layers that torch.compile traces; not on the page of the others, because a compiler is no layout."""
