"""The event schema: what every producer writes to a run's journal, one JSON object per line.

A reader of version N reads N-1. Times: `time` is UTC wall clock (comparable between nodes that keep time),
`monotonic_ns` is the producer's own clock (exact within one process). Units are in the names.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from paceline.spec.events.base import SCHEMA_VERSION, Activity, Event, now
from paceline.spec.events.checkpoints import (
    CadenceChanged,
    CheckpointCommitted,
    CheckpointEvent,
    CheckpointFailed,
    CheckpointPersisted,
    CheckpointRejected,
    CheckpointRestored,
    CheckpointVerified,
    SnapshotReplicated,
    SnapshotTaken,
)
from paceline.spec.events.faults import (
    EVERYBODY,
    ActionDecided,
    ActionFinished,
    ActionStarted,
    CorruptionJudged,
    FaultClassified,
    FaultDetected,
    FaultEvent,
    FaultInjected,
    HangJudged,
    RankStanding,
    SentinelPaced,
    StragglerFound,
)
from paceline.spec.events.graphs import CompileMissed, GraphEvent, GraphsCompiled, GraphsCounted, GraphsFetched
from paceline.spec.events.run import (
    DataConsumed,
    DatasetPrepared,
    EvaluationFinished,
    GenerationOpened,
    MembershipChanged,
    PhaseChanged,
    RunEvent,
    RunFinished,
    RunStarted,
    StackDeployed,
    StepFinished,
    TaskScore,
)

__all__ = [
    "EVENT",
    "EVERYBODY",
    "SCHEMA_VERSION",
    "ActionDecided",
    "ActionFinished",
    "ActionStarted",
    "Activity",
    "AnyEvent",
    "CadenceChanged",
    "CheckpointCommitted",
    "CheckpointFailed",
    "CheckpointPersisted",
    "CheckpointRejected",
    "CheckpointRestored",
    "CheckpointVerified",
    "CompileMissed",
    "CorruptionJudged",
    "DataConsumed",
    "DatasetPrepared",
    "EvaluationFinished",
    "Event",
    "FaultClassified",
    "FaultDetected",
    "FaultInjected",
    "GenerationOpened",
    "GraphsCompiled",
    "GraphsCounted",
    "GraphsFetched",
    "HangJudged",
    "MembershipChanged",
    "PhaseChanged",
    "RankStanding",
    "RunFinished",
    "RunStarted",
    "SentinelPaced",
    "SnapshotReplicated",
    "SnapshotTaken",
    "StackDeployed",
    "StepFinished",
    "StragglerFound",
    "TaskScore",
    "now",
]

AnyEvent = Annotated[RunEvent | CheckpointEvent | FaultEvent | GraphEvent, Field(discriminator="kind")]

EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
