"""What a recipe may say. A recipe is intent: what to train, on which data, in how many tokens per step, for how long.

Every field has a meaning that does not depend on the number of nodes: the global batch is in tokens, the order of the
data comes from the seed, and layouts are derived (docs/concepts/recipes.md).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from paceline.spec.base import Record


class ModelChoice(Record):
    """Which architecture, at which published or debug size."""

    family: Literal["llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"] = Field(
        default="llama", description="by Hugging Face's `model_type`"
    )
    preset: str = Field(description="a size of the family, e.g. `debug`")
    weights: str | None = Field(default=None, description="root of the checkpoint of a model to start from")


class DataChoice(Record):
    sequence_length: int = Field(default=256, ge=8, description="tokens per training window")
    document_mask: bool = Field(default=False, description="documents packed into one window do not see each other")
    seed: int = Field(default=0, ge=0, description="decides the order of all windows, together with the epoch")


class Batch(Record):
    tokens: int = Field(ge=1, description="global batch: tokens per optimizer step over all ranks")
    micro_sequences: int = Field(ge=1, description="sequences per forward pass of one rank")


class Parallelism(Record):
    """Along which axes ranks share the work; what an accelerator, a world and a model allow is checked when they are
    known (paceline/plan/layout.py). All degrees of one: every rank has its own part of the batch, and all parameters
    are sharded over all ranks."""

    dp_replicate: int = Field(default=1, ge=1, description="copies of the sharded parameters, each with its own data")
    dp_shard: int | None = Field(default=None, ge=1, description="ranks that shard one copy; null: all that are left")
    cp: int = Field(default=1, ge=1, description="context parallel: ranks that share the positions of a sequence")
    ep: int = Field(default=1, ge=1, description="expert parallel: ranks of dp_shard that share the experts of a layer")
    tp: int = Field(default=1, ge=1, description="tensor parallel: ranks that share every matrix product")
    sequence_parallel: bool = Field(default=True, description="tp ranks also share the positions between the products")
    pp: int = Field(default=1, ge=1, description="pipeline parallel: ranks that share the layers")
    pp_schedule: Literal["1f1b", "zero_bubble"] = Field(
        default="1f1b", description="zero_bubble fills waiting times with the gradients of weights"
    )
    stages_per_rank: int = Field(default=1, ge=1, description="of the pipeline; above 1 they are interleaved")


class Compute(Record):
    """How a rank computes: speed and memory for accuracy or work. Parameters and sums over ranks are float32."""

    precision: Literal["float32", "bfloat16", "float8"] = Field(
        default="float32", description="of matrix products; float8 only on hardware that has it, the rest is bfloat16"
    )
    activation_checkpointing: Literal["none", "selective", "full"] = Field(
        default="none", description="what backward computes again: nothing, all but matrix products, or all of a layer"
    )
    checkpoint_every: int = Field(default=1, ge=1, description="of how many layers one is checkpointed")
    compile: bool = Field(default=False, description="compile every layer with torch.compile")


class Optimizer(Record):
    name: Literal["adamw", "adamw8bit", "muon"] = Field(
        default="adamw", description="muon and adamw8bit (moments of 8 bits): for matrices, with adamw for the rest"
    )
    learning_rate: float = Field(gt=0, description="peak of the schedule")
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0, description="not applied to vectors (norms)")
    gradient_clip: float = Field(default=1.0, gt=0, description="largest global gradient norm")


class Schedule(Record):
    kind: Literal["cosine", "linear", "constant", "wsd"] = Field(
        default="cosine", description="how the learning rate falls after warm-up; wsd: constant, then linear"
    )
    steps: int = Field(ge=1, description="optimizer steps of the whole run")
    warmup_steps: int = Field(default=0, ge=0)
    final_fraction: float = Field(default=0.1, ge=0, le=1, description="last learning rate over the peak")
    decay_fraction: float = Field(default=0.2, ge=0, le=1, description="share of all steps in which wsd decays")

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below steps ({self.steps}) ## lower warmup_steps"
            )
        return self


class Evaluation(Record):
    """Held-out loss and multiple choice, before the first step, in the loop, and after the last step."""

    every: int = Field(default=0, ge=0, description="steps between evaluations; 0: none")
    sequences: int = Field(default=64, ge=1, description="held-out windows of one evaluation, at most")
    tasks: tuple[str, ...] = Field(default=(), description="shipped multiple-choice tasks, e.g. `everyday`")


class Checkpointing(Record):
    persist_every: int = Field(default=100, ge=1, description="steps between durable checkpoints")
    keep: int = Field(default=3, ge=1, description="durable checkpoints to keep: the newest")
    keep_every_hours: float | None = Field(default=None, gt=0, description="of the older ones, one of every so many")


class Recipe(Record):
    """A complete recipe, after bases and overrides are applied."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    engine: Literal["torch"] = "torch"
    model: ModelChoice
    data: DataChoice = DataChoice()
    batch: Batch
    parallelism: Parallelism = Parallelism()
    compute: Compute = Compute()
    optimizer: Optimizer
    schedule: Schedule
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpointing = Checkpointing()
    callbacks: tuple[str, ...] = Field(default=(), description="your own train.callbacks.Callback, `module:Class`")
    seed: int = Field(default=0, ge=0, description="decides the initial parameters")

    @model_validator(mode="after")
    def _batch_is_whole_sequences(self) -> Self:
        length = self.data.sequence_length
        if self.batch.tokens % length:
            below = self.batch.tokens // length * length
            raise ValueError(
                f"batch.tokens ({self.batch.tokens}) is not a multiple of data.sequence_length ({length})"
                f" ## the nearest legal values are {max(below, length)} and {below + length}"
            )
        return self

    @model_validator(mode="after")
    def _layout_can(self) -> Self:
        if self.optimizer.name != "adamw" and self.parallelism.tp > 1:
            raise ValueError(
                f"optimizer.name: {self.optimizer.name} needs whole rows ## set parallelism.tp to 1, or take adamw"
            )
        return self

    @property
    def sequences_per_step(self) -> int:
        """Global batch in sequences."""
        return self.batch.tokens // self.data.sequence_length
