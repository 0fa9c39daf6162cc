"""Shells on nodes."""

from __future__ import annotations

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.retention import LogDays
from stacks.settings.update import LIVE


class Access(Record):
    """Nodes have no port to log in to: shells go through SSM Session Manager, and are recorded."""

    session_log_days: LogDays = Field(
        default=365,
        description="days that the record of every shell, input and output, is kept",
        json_schema_extra=LIVE,
    )
    idle_minutes: int = Field(
        default=20, ge=1, le=60, description="minutes without input after which a shell ends", json_schema_extra=LIVE
    )
