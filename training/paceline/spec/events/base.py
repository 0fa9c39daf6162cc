"""What all events carry, and what a node spends its time on."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from paceline.spec.base import Record

SCHEMA_VERSION = 1


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
    LENT = "lent"
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


def now() -> datetime:
    """The wall time that events carry."""
    return datetime.now(UTC)
