"""What supervisors, coordinator and workers say to each other: one JSON object per line, validated on arrival.

The talk is level-triggered. A supervisor keeps reporting its whole `NodeStatus`; the coordinator keeps answering with
the whole `Directive`. Nothing depends on a message having been seen before, so either side may be replaced at any time.
"""

from __future__ import annotations

import traceback
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from paceline.spec.base import Record
from paceline.spec.errors import PacelineError
from paceline.spec.health import Finding
from paceline.spec.manifest import CheckpointFile, TrainerState
from paceline.supervise.flight_record import GroupRecord

STARTING = "start"  # the cause of a run's first generation


class Corruption(Record):
    """State or work of `ranks` is not what it must be; none are named where it cannot be told whose. The state after
    `good_step` is known to be right, later ones are not. `subject` and `suspicion` are those of the event that tells
    of `step` (spec.events.CorruptionJudged)."""

    step: int
    subject: Literal["state", "work"]
    suspicion: str
    ranks: tuple[int, ...]
    good_step: int
    reason: str


class CorruptionFound(Exception):  # noqa: N818 - what was found, in the words of the sentinel
    """Ends a generation whose results cannot be trusted."""

    def __init__(self, corruption: Corruption) -> None:
        super().__init__(corruption.reason)
        self.corruption = corruption


class Failure(Record):
    """Why something cannot go on, in the words for a person; `hint` says what to do."""

    message: str
    hint: str | None = None
    traceback: str | None = Field(default=None, description="of a worker's own exception")
    corruption: Corruption | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """`error` in words. Where it was raised is kept: without it nobody finds the bug."""
        if isinstance(error, CorruptionFound):
            return cls(message=error.corruption.reason, corruption=error.corruption)
        trace = "".join(traceback.format_exception(error)) if error.__traceback__ is not None else None
        if isinstance(error, PacelineError):
            message = "; ".join(p.message for p in error.problems)
            return cls(message=message, hint=error.problems[0].hint, traceback=trace)
        return cls(message=f"{type(error).__name__}: {error}", traceback=trace)


class HeldShard(Record):
    """A verified snapshot of one rank, of `world_size` ranks, in the memory of a node."""

    rank: int
    world_size: int
    step: int
    generation: int
    bytes: int
    digest: str


class PersistedShard(Record):
    """A rank's file that is durable and waits for its checkpoint, of `world_size` files, to be committed."""

    step: int
    generation: int
    world_size: int
    file: CheckpointFile
    trainer: TrainerState


class Address(Record):
    host: str
    port: int


class Member(Record):
    """A node that takes part in a generation with ranks [first_rank, first_rank + workers). `store_port` is where
    its first standby listens, for the case that it becomes rank 0."""

    node: str
    first_rank: int
    host: str
    peer_port: int
    store_port: int


class ShardSource(Record):
    """Where the snapshot of one rank can be had: the node's own memory server."""

    rank: int
    node: str
    digest: str
    address: Address


class Restore(Record):
    """What a generation starts from. `step` is 0 for `nothing`; `verified` is the newest step up to it whose state was
    found right; `shards` are all of the state, one for each rank of the world that wrote it."""

    source: Literal["memory", "manifest", "nothing"]
    step: int = 0
    verified: int = 0
    shards: tuple[ShardSource, ...] = ()


class Assignment(Record):
    """One generation: who takes part, and from which state."""

    generation: int
    members: tuple[Member, ...]
    workers_per_node: int
    restore: Restore
    cause: str

    @property
    def world_size(self) -> int:
        return len(self.members) * self.workers_per_node

    def member(self, node: str) -> Member | None:
        return next((m for m in self.members if m.node == node), None)


WorkersState = Literal["running", "completed", "stopped", "failed"]


class Work(Record):
    """What a rank has spent in `steps` steps of a generation, `seconds` together: waiting for its data, computing
    without waiting for others, and waiting at the fence for the snapshot of the step before, counted apart for the
    `persisted` that were also made durable."""

    steps: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    compute_seconds: float = 0.0
    stall_seconds: float = 0.0
    persisted: int = 0
    persist_stall_seconds: float = 0.0

    def since(self, before: Work) -> Work:
        """What was added after `before`."""
        return Work(
            **{name: getattr(self, name) - getattr(before, name) for name in Work.model_fields},
        )


class RankProgress(Record):
    """A rank's progress words: `step` steps done, at `phase` (progress.Phase), unchanged for `idle_seconds`."""

    rank: int
    step: int
    phase: int
    idle_seconds: float
    work: Work = Work()


class WorkersStatus(Record):
    """The workers of a node in `generation`. `step` is the lowest optimizer step that all of them have finished,
    `verified` the newest whose state they found right; `start_seconds` is from their promotion to the end of their
    first step, once all have done it."""

    generation: int
    state: WorkersState
    step: int
    verified: int = 0
    error: Failure | None = None
    start_seconds: float | None = None
    ranks: tuple[RankProgress, ...] = ()


class RankEvidence(RankProgress):
    """What can be seen of a rank from outside: the kernel's letter for its process, and its Python stacks; and what
    its flight recorder says of its process groups, None if it did not answer."""

    node: str
    process_state: str | None
    stacks: str
    groups: tuple[GroupRecord, ...] | None = None


class Inspection(Record):
    """A node's answer to `Directive.inspect`."""

    generation: int
    ranks: tuple[RankEvidence, ...]


class NodeStatus(Record):
    """Everything the coordinator needs to know of a node. `ready` means that a full crew of standbys waits;
    `failure_domain` names what is lost together (a rack, a leaf switch, a zone), None where nobody said."""

    node: str
    host: str
    failure_domain: str | None = None
    process_group: int
    peer_port: int
    store_port: int | None
    ready: bool
    failure: Failure | None = Field(default=None, description="why this node can never serve the run")
    unfit: Finding | None = Field(default=None, description="why its health agent wants it to leave the run")
    following: Assignment | None = None
    workers: WorkersStatus | None = None
    held: tuple[HeldShard, ...] = ()
    persisted: tuple[PersistedShard, ...] = ()
    uploading: int = Field(default=0, description="shard files on their way to durable storage")
    upload_failure: str | None = Field(default=None, description="why the last upload failed, if it did")
    persist_seconds: float | None = Field(default=None, description="the longest of the last uploads of its ranks")
    inspection: Inspection | None = Field(default=None, description="the last one that was asked for")
    roll_call: int | None = Field(default=None, description="the last roll call that this node had heard of")
    leaving: bool = Field(default=False, description="this node's capacity ends: it wants to hand over and go")


class Report(Record):
    """Supervisor to coordinator. `token` proves that the sender belongs to the run; `sent` is the supervisor's own
    clock, which only it understands."""

    token: str
    sent: float = 0.0
    status: NodeStatus


class Heard(Record):
    """Coordinator to supervisor: the report of `sent` has arrived, so the supervisor's lease runs from then."""

    kind: Literal["heard"] = "heard"
    sent: float


class Directive(Record):
    """Coordinator to supervisor. `buddy` keeps a second copy of this node's snapshots; `committed_step` is the newest
    durable checkpoint; `inspect` asks what that generation's workers are at; `pause` asks that generation's
    workers to end after the current step, all after the same one; `persist_every` are the steps between durable
    checkpoints where the recipe does not say; `roll_call` says that this generation is over, so that its workers are to
    end, and asks what is held then; `room` is the size of the largest snapshot of a rank, which a spare keeps memory
    ready for; `stop` asks this of the run (drain), or says that the node may go (leave)."""

    kind: Literal["directive"] = "directive"
    assignment: Assignment | None = None
    buddy: Address | None = None
    buddy_node: str | None = None
    committed_step: int = -1
    inspect: int | None = None
    pause: int | None = None
    persist_every: int | None = None
    roll_call: int | None = None
    room: int = 0
    stop: Literal["drain", "leave"] | None = None


CoordinatorMessage = Annotated[Heard | Directive, Field(discriminator="kind")]

# ----- between a supervisor and its workers ---------------------------------------------------------------------------


class StandbyReady(Record):
    kind: Literal["standby.ready"] = "standby.ready"


class StepDone(Record):
    """`verified` is the newest step whose state may be made durable: `step` itself, if nobody watches the state."""

    kind: Literal["step.done"] = "step.done"
    step: int
    verified: int


class SnapshotReady(Record):
    """Segment `segment` holds the state after `step`, whole and hashed."""

    kind: Literal["snapshot.ready"] = "snapshot.ready"
    segment: int
    step: int
    persist: bool


class WorkerFinished(Record):
    kind: Literal["worker.finished"] = "worker.finished"
    outcome: Literal["completed", "stopped"]


class CollectivesTold(Record):
    kind: Literal["collectives.told"] = "collectives.told"
    groups: tuple[GroupRecord, ...]


class WorkerFailed(Record):
    kind: Literal["worker.failed"] = "worker.failed"
    error: Failure


class Promote(Record):
    """A standby becomes rank `rank`. `verified` is the newest step up to `restore_step` whose state was found right.
    `restore_segment` holds the state to start from, or is -1; then `restore_shards` says where to get the parts of it
    that another world left in memory."""

    kind: Literal["promote"] = "promote"
    generation: int
    rank: int
    local_rank: int
    world_size: int
    store: Address
    restore_step: int
    verified: int
    restore_from: Literal["memory", "manifest", "nothing"]
    restore_segment: int
    restore_shards: tuple[ShardSource, ...] = ()


class SnapshotSafe(Record):
    """The snapshot of `step` has a second copy (or nobody could keep one): its segment may be written again."""

    kind: Literal["snapshot.safe"] = "snapshot.safe"
    step: int


class PersistEvery(Record):
    """Steps between durable checkpoints from now on."""

    kind: Literal["persist.every"] = "persist.every"
    steps: int


class StopRequested(Record):
    kind: Literal["stop.requested"] = "stop.requested"


class CollectivesAsked(Record):
    """What does its flight recorder say?"""

    kind: Literal["collectives.asked"] = "collectives.asked"


WorkerMessage = Annotated[
    StandbyReady | StepDone | SnapshotReady | CollectivesTold | WorkerFinished | WorkerFailed,
    Field(discriminator="kind"),
]
SupervisorMessage = Annotated[
    Promote | SnapshotSafe | PersistEvery | StopRequested | CollectivesAsked, Field(discriminator="kind")
]

COORDINATOR_MESSAGE: TypeAdapter[CoordinatorMessage] = TypeAdapter(CoordinatorMessage)
WORKER_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(WorkerMessage)
SUPERVISOR_MESSAGE: TypeAdapter[SupervisorMessage] = TypeAdapter(SupervisorMessage)
