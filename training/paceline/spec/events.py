"""The event schema: what every producer writes to a run's journal, one JSON object per line.

A reader of version N reads N-1. Times: `time` is UTC wall clock (comparable between nodes that keep time),
`monotonic_ns` is the producer's own clock (exact within one process). Units are in the names.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from paceline.spec.base import Record

SCHEMA_VERSION = 1
EVERYBODY = "all nodes"


class Activity(StrEnum):
    """What a node spends a second on. The goodput ledger books every second to exactly one of these."""

    PRODUCTIVE = "productive"
    INITIALISE = "initialise"
    COMPILE = "compile"
    DATA_STALL = "data_stall"
    CHECKPOINT_STALL = "checkpoint_stall"
    EVALUATION = "evaluation"
    DETECT = "detect"
    LOCALISE = "localise"
    RESTART = "restart"
    RESTORE = "restore"
    LOST_WORK = "lost_work"
    STRAGGLER_WAIT = "straggler_wait"
    HANG = "hang"
    IDLE_RESERVED = "idle_reserved"
    DOWN = "down"
    UNKNOWN = "unknown"


class Event(Record):
    """What all events carry. `producer` names the writer: coordinator, node-0, node-0.rank-1, demo, ..."""

    schema_version: int = SCHEMA_VERSION
    time: datetime
    monotonic_ns: int
    run: str
    producer: str
    generation: int | None = None
    node: str | None = None
    rank: int | None = None


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


class SnapshotTaken(Event):
    kind: Literal["snapshot.taken"] = "snapshot.taken"
    step: int
    bytes: int
    seconds: float
    digest: str


class SnapshotReplicated(Event):
    kind: Literal["snapshot.replicated"] = "snapshot.replicated"
    step: int
    to_node: str
    bytes: int
    seconds: float


class CheckpointPersisted(Event):
    """One rank's file of a checkpoint is durable; the checkpoint itself exists only once committed."""

    kind: Literal["checkpoint.persisted"] = "checkpoint.persisted"
    step: int
    uri: str
    bytes: int
    sha256: str
    seconds: float


class CheckpointCommitted(Event):
    kind: Literal["checkpoint.committed"] = "checkpoint.committed"
    step: int
    uri: str
    files: int
    bytes: int


class CadenceChanged(Event):
    """Durable checkpoints come every `after` steps, no longer every `before`: one adds `stall_seconds` to training and
    keeps storage busy for `absorb_seconds`, a step takes `step_seconds`, and nodes fail `failures_per_day`."""

    kind: Literal["cadence.changed"] = "cadence.changed"
    before: int
    after: int
    stall_seconds: float
    absorb_seconds: float
    step_seconds: float
    failures_per_day: float


class CheckpointVerified(Event):
    """Every file of a checkpoint was read back and has the size and the hash that its manifest says."""

    kind: Literal["checkpoint.verified"] = "checkpoint.verified"
    step: int
    uri: str
    files: int
    bytes: int
    seconds: float


class CheckpointRejected(Event):
    """A checkpoint that was asked for does not verify; the next older one is tried."""

    kind: Literal["checkpoint.rejected"] = "checkpoint.rejected"
    step: int | None
    uri: str
    reason: str


class CheckpointFailed(Event):
    """A checkpoint could not be saved (full disk, refused upload); the run goes on without it."""

    kind: Literal["checkpoint.failed"] = "checkpoint.failed"
    step: int
    uri: str
    reason: str


class CheckpointRestored(Event):
    kind: Literal["checkpoint.restored"] = "checkpoint.restored"
    step: int
    source: Literal["memory", "manifest"]
    bytes: int
    seconds: float


class FaultInjected(Event):
    """A test, a demo or a chaos run broke something on purpose; written just before the blow."""

    kind: Literal["fault.injected"] = "fault.injected"
    fault: str
    target: str


class FaultDetected(Event):
    """`target` is a node, or EVERYBODY where none can be named; `traceback` is that of a worker's own exception."""

    kind: Literal["fault.detected"] = "fault.detected"
    fault: str
    target: str
    evidence: str
    traceback: str | None = None


class RankStanding(Record):
    """Where a rank was when nothing moved. `collective` is the one that it waited in, `process_state` the kernel's
    letter for its process; None where it is not known or waited in none."""

    rank: int
    node: str
    step: int
    phase: str
    process_state: str | None = None
    collective: str | None = None


class HangJudged(Event):
    """Nothing moved for `idle_seconds`, and why. `guilty_node` and `guilty_rank` are None where nobody can be named;
    `evidence` is the path of the file with the stacks of all ranks."""

    kind: Literal["hang.judged"] = "hang.judged"
    fault_class: str
    guilty_node: str | None = None
    guilty_rank: int | None = None
    reason: str
    idle_seconds: float
    threshold_seconds: float
    standings: tuple[RankStanding, ...]
    evidence: str | None = None


class CorruptionJudged(Event):
    """Something about `step` was suspicious: about the `state` before it, or the `work` that it did. What became of it:
    `convicted` means that results are wrong, because of `guilty_ranks` or, where there are none, of somebody who cannot
    be named, and that the run goes back to the state after `good_step`; `reproduced` that the step gave the same
    again; `irreproducible` that no rank agrees even with itself; `unexamined` that no snapshot was there to take the
    step again from."""

    kind: Literal["corruption.judged"] = "corruption.judged"
    step: int
    subject: Literal["state", "work"]
    suspicion: str
    outcome: Literal["convicted", "reproduced", "irreproducible", "unexamined"]
    guilty_ranks: tuple[int, ...] = ()
    reason: str
    good_step: int


class StragglerFound(Event):
    """Rank `slow_rank` needs `factor` times as long as its peers (their median) for its own work in `phase`, without
    what it waits for others, and has for `steps` steps."""

    kind: Literal["straggler.found"] = "straggler.found"
    slow_rank: int
    slow_node: str
    phase: Literal["data", "compute"]
    factor: float
    seconds: float
    peers_seconds: float
    steps: int


class FaultClassified(Event):
    """`fault_class` is the class of the policy catalog: node_lost, worker_failed, ..."""

    kind: Literal["fault.classified"] = "fault.classified"
    fault: str
    target: str
    fault_class: str


class ActionDecided(Event):
    kind: Literal["action.decided"] = "action.decided"
    action: str
    target: str
    reason: str


class ActionStarted(Event):
    kind: Literal["action.started"] = "action.started"
    action: str
    target: str


class ActionFinished(Event):
    kind: Literal["action.finished"] = "action.finished"
    action: str
    target: str
    outcome: Literal["done", "failed"]
    seconds: float


class MembershipChanged(Event):
    """A node's standing in the run as the coordinator sees it."""

    kind: Literal["membership.changed"] = "membership.changed"
    state: Literal["joined", "active", "spare", "lost", "left"]
    reason: str


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


class GraphsCompiled(Event):
    """Before the run its graphs were compiled and are kept at `uri`; `seconds` are those of the whole warm-up."""

    kind: Literal["graphs.compiled"] = "graphs.compiled"
    uri: str
    graphs: int
    bytes: int
    seconds: float


class GraphsFetched(Event):
    """A node has the graphs at `uri`, each with the hash that their manifest says."""

    kind: Literal["graphs.fetched"] = "graphs.fetched"
    uri: str
    graphs: int
    bytes: int
    seconds: float


class GraphsCounted(Event):
    """After the first step of a generation on one node: of `expected` graphs that were compiled ahead `hit` have been
    read, None where its file system does not say; `missed` had to be compiled on the node."""

    kind: Literal["graphs.counted"] = "graphs.counted"
    step: int
    expected: int
    hit: int | None = None
    missed: int


class CompileMissed(Event):
    """Graph `module` was not compiled ahead: the node compiled it while everybody waited, on the way to the state after
    `step` steps."""

    kind: Literal["compile.missed"] = "compile.missed"
    step: int
    module: str


class StackDeployed(Event):
    kind: Literal["stack.deployed"] = "stack.deployed"
    stack: str
    resources: int
    seconds: float


AnyEvent = Annotated[
    RunStarted
    | RunFinished
    | PhaseChanged
    | GenerationOpened
    | StepFinished
    | DatasetPrepared
    | DataConsumed
    | SnapshotTaken
    | SnapshotReplicated
    | CheckpointPersisted
    | CheckpointCommitted
    | CadenceChanged
    | CheckpointVerified
    | CheckpointRejected
    | CheckpointFailed
    | CheckpointRestored
    | FaultInjected
    | FaultDetected
    | HangJudged
    | CorruptionJudged
    | StragglerFound
    | FaultClassified
    | ActionDecided
    | ActionStarted
    | ActionFinished
    | MembershipChanged
    | EvaluationFinished
    | GraphsCompiled
    | GraphsFetched
    | GraphsCounted
    | CompileMissed
    | StackDeployed,
    Field(discriminator="kind"),
]

EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def now() -> datetime:
    """The wall time that events carry."""
    return datetime.now(UTC)
