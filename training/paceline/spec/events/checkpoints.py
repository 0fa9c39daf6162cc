"""Events of a run's state: copies in memory, checkpoints in storage."""

from __future__ import annotations

from typing import Literal

from paceline.spec.events.base import Event


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


CheckpointEvent = (
    SnapshotTaken
    | SnapshotReplicated
    | CheckpointPersisted
    | CheckpointCommitted
    | CadenceChanged
    | CheckpointVerified
    | CheckpointRejected
    | CheckpointFailed
    | CheckpointRestored
)
