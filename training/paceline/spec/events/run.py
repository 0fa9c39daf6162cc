"""Events of a run's course: its steps, its members, what it reads and how well it learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from paceline.spec.base import Record
from paceline.spec.events.base import Activity, Event


class RunStarted(Event):
    """`versions` maps what the run stands on (paceline, python, torch, ...) to its version."""

    kind: Literal["run.started"] = "run.started"
    recipe: str
    recipe_sha256: str
    nodes: int
    spares: int
    world_size: int
    total_steps: int
    tokens_per_step: int
    seed: int
    dataset: str
    versions: dict[str, str] = Field(default_factory=dict)


class RunFinished(Event):
    kind: Literal["run.finished"] = "run.finished"
    outcome: Literal["completed", "stopped", "failed"]
    step: int
    reason: str | None = None
    hint: str | None = None


class PhaseChanged(Event):
    """From now on `node` does `activity`."""

    kind: Literal["phase.changed"] = "phase.changed"
    activity: Activity
    cause: str | None = None


class GenerationOpened(Event):
    """The coordinator handed out a new membership. `ranks` maps node to its first rank."""

    kind: Literal["generation.opened"] = "generation.opened"
    ranks: dict[str, int]
    world_size: int
    cause: str
    lost_nodes: tuple[str, ...] = ()
    restore_from: Literal["memory", "manifest", "nothing"]
    restore_step: int


class MembershipChanged(Event):
    """A node's standing in the run as the coordinator sees it."""

    kind: Literal["membership.changed"] = "membership.changed"
    state: Literal["joined", "active", "spare", "lost", "left"]
    reason: str


class StepFinished(Event):
    """One optimizer step on one node, written by the node's first rank. `step` is the number of steps done with it.

    `seconds` is the whole step; `data_seconds` and `checkpoint_seconds` are the parts of it spent waiting for input
    and for snapshots. `loss` is the mean over the global batch in nats per token, or per pair; `metrics` are more such
    means, of the method's own (engines/objectives). `mfu` is the model's arithmetic over
    the peak of the accelerators (plan/flops.py), None where the peak is not known; `memory_bytes` is the most that
    this rank has held so far, on its accelerator or, without one, in its process.
    """

    kind: Literal["step.finished"] = "step.finished"
    step: int
    loss: float | None
    tokens: int
    learning_rate: float
    gradient_norm: float | None
    seconds: float
    data_seconds: float
    checkpoint_seconds: float
    mfu: float | None = None
    memory_bytes: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class TaskScore(Record):
    """Share of the questions whose right answer the model finds likeliest, `accuracy` by the probability of the whole
    answer, `accuracy_by_bytes` by its mean logarithm per byte."""

    questions: int
    accuracy: float
    accuracy_by_bytes: float


class EvaluationFinished(Event):
    """Held-out `loss` in nats per token over `tokens` tokens, after `step` steps; `tasks` by their names."""

    kind: Literal["evaluation.finished"] = "evaluation.finished"
    step: int
    loss: float
    tokens: int
    bits_per_byte: float | None = None
    tasks: dict[str, TaskScore] = Field(default_factory=dict)
    seconds: float | None = None


class DatasetPrepared(Event):
    """A tokenised corpus is there. `unigram_entropy` is in nats per token, as in its manifest."""

    kind: Literal["dataset.prepared"] = "dataset.prepared"
    dataset: str
    uri: str
    documents: int
    tokens: int
    vocabulary: int
    unigram_entropy: float
    seconds: float


class DataConsumed(Event):
    """What a step's global batch held: sample indices [first_index, first_index + count), and the ledger's head.

    `step` counts from 0: it is the number of steps done before this one.
    """

    kind: Literal["data.consumed"] = "data.consumed"
    step: int
    first_index: int
    count: int
    digest: str
    head: str


class StackDeployed(Event):
    kind: Literal["stack.deployed"] = "stack.deployed"
    stack: str
    resources: int
    seconds: float


RunEvent = (
    RunStarted
    | RunFinished
    | PhaseChanged
    | GenerationOpened
    | MembershipChanged
    | StepFinished
    | EvaluationFinished
    | DatasetPrepared
    | DataConsumed
    | StackDeployed
)
