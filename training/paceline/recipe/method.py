"""What is learned from the data, and in which parameters: the methods of training and the adapters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from paceline.spec.base import Record

Method = Literal["pretrain", "sft", "dpo", "reward"]

Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

PAIRS: tuple[Method, ...] = ("dpo", "reward")
"""The methods whose sample is a pair of sequences: the preferred answer, then the other."""


class Adapter(Record):
    """Low-rank adapters (LoRA: Hu et al., 2021): the model is frozen, and beside each of its linear layers `targets`
    a product of two small matrices learns what is added to it, times alpha / rank."""

    kind: Literal["lora"] = Field(default="lora", description="low-rank products beside linear layers")
    rank: int = Field(default=16, ge=1, description="inner dimension of the product")
    alpha: float = Field(default=32.0, gt=0, description="the product counts alpha / rank times")
    targets: tuple[Target, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="linear layers that get an adapter, by the last part of their names",
    )
    quantize: Literal["nf4"] | None = Field(
        default=None, description="nf4: the frozen layers are held in 4 bits (QLoRA: Dettmers et al., 2023)"
    )

    @property
    def scale(self) -> float:
        """The factor of the product."""
        return self.alpha / self.rank


class Preference(Record):
    """Of method dpo."""

    beta: float = Field(default=0.1, gt=0, description="how much a move away from the first model costs")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="share of the pairs that are believed to be labelled the wrong way"
    )
