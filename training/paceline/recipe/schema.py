"""What a recipe may say. A recipe is intent: what to train, on which data, in how many tokens per step, for how long.

Every field has a meaning that does not depend on the number of nodes: the global batch is in tokens, the order of the
data comes from the seed, and layouts are derived (docs/concepts/recipes.md).
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from paceline.recipe.method import PAIRS, Adapter, Method, Preference
from paceline.recipe.platform import Platform
from paceline.recipe.watch import SentinelChoice, StragglerChoice
from paceline.spec.base import Record

VERSION: Final = 2
"""Of what a recipe may say. `migrate` reads what was written for older ones."""

Accelerator = Literal["cpu", "gpu", "trainium"]


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
    are sharded over all ranks.

    A file may write `parallelism: auto`, and in the section degrees for one accelerator, such as `trainium: {tp: 32}`
    or `gpu: auto` (paceline/recipe/resolve.py)."""

    auto: bool = Field(
        default=False, description="once the ranks are known, degrees of 1 are raised as far as memory needs it"
    )
    dp_replicate: int = Field(default=1, ge=1, description="copies of the sharded parameters, each with its own data")
    dp_shard: int | None = Field(default=None, ge=1, description="ranks that shard one copy; null: all that are left")
    zero: Literal[1, 2, 3] = Field(
        default=3, description="what they shard: 1 the optimizer's state, 2 gradients too, 3 parameters too"
    )
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
    attention: Literal["sdpa", "flex", "nki_flash"] = Field(
        default="sdpa", description="kernel: PyTorch's own; flex, its compiled one, on GPUs; or that of Neuron"
    )
    offload: Literal["none", "cpu"] = Field(
        default="none", description="where optimizer state is kept and updated: with the rest, or in the host's memory"
    )
    static_shapes: bool = Field(
        default=False, description="all passes have one shape, because a graph is compiled for each"
    )


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
    """A complete recipe, after bases, overrides and the accelerator's values are applied."""

    version: Literal[2] = Field(default=VERSION, description="of the schema that the file was written for")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    accelerator: Accelerator | None = Field(
        default=None, description="what to train on; null: what the machine has that runs it"
    )
    instance: str | None = Field(default=None, description="EC2 instance type of a node; it implies the accelerator")
    engine: Literal["torch", "deepspeed", "nxd"] = Field(
        default="torch", description="what computes: PyTorch, DeepSpeed, or NeuronX Distributed"
    )
    method: Method = Field(
        default="pretrain",
        description="pretrain: every token; sft: answers in conversations; dpo: preferred answers; reward: their score",
    )
    preference: Preference = Preference()
    adapter: Adapter | None = None
    model: ModelChoice
    data: DataChoice = DataChoice()
    batch: Batch
    parallelism: Parallelism = Parallelism()
    compute: Compute = Compute()
    platform: Platform = Platform()
    optimizer: Optimizer
    schedule: Schedule
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpointing = Checkpointing()
    sentinel: SentinelChoice | None = Field(default=SentinelChoice(), description="null: nothing is watched")
    stragglers: StragglerChoice = StragglerChoice()
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

    @model_validator(mode="after")
    def _method_can(self) -> Self:
        chosen, pairs = self.parallelism, self.method in PAIRS
        if self.model.weights is None and (self.adapter is not None or self.method == "dpo"):
            what = "an adapter" if self.adapter is not None else "method dpo"
            raise ValueError(f"model.weights: {what} needs a model to start from ## name the root of an imported model")
        if pairs and chosen.pp * chosen.cp > 1:
            raise ValueError(
                f"method: {self.method} compares whole sequences, which neither stages nor ring attention have"
                " ## set parallelism.pp and parallelism.cp to 1"
            )
        if pairs and (self.batch.micro_sequences % 2 or self.sequences_per_step % 2):
            raise ValueError(
                f"batch.micro_sequences: method {self.method} takes pairs, not {self.sequences_per_step} per"
                f" step and {self.batch.micro_sequences} per pass ## make both numbers even"
            )
        if pairs and self.evaluation.every:
            raise ValueError(f"evaluation.every: method {self.method} is not evaluated on held-out text ## set it to 0")
        if self.method == "reward" and chosen.tp > 1 and chosen.sequence_parallel:
            raise ValueError(
                "parallelism.sequence_parallel: a score is of whole positions ## set it to false, or tp to 1"
            )
        if self.adapter is not None and self.compute.precision == "float8":
            raise ValueError("compute.precision: float8 layers take no adapters ## set it to bfloat16")
        if self.adapter is not None and chosen.pp > 1:
            raise ValueError("adapter: stages of a pipeline hold none ## set parallelism.pp to 1")
        if self.adapter is not None and self.optimizer.name == "muon":
            raise ValueError("optimizer.name: muon is for the matrices of a model, not of adapters ## take adamw")
        return self

    @property
    def sequences_per_step(self) -> int:
        """Global batch in sequences."""
        return self.batch.tokens // self.data.sequence_length

    @property
    def samples_per_step(self) -> int:
        """Global batch in samples of the dataset: a pair is one."""
        return self.sequences_per_step // (2 if self.method in PAIRS else 1)
