"""What is watched while a run trains: whether its results are right, and whether its ranks keep the pace."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from paceline.spec.base import Record


class SentinelChoice(Record):
    """Against silent corruption (docs/concepts/sentinel.md). The cadences bound what it costs."""

    every: int = Field(default=1, ge=1, description="steps between two checks of the state at rest and of its replicas")
    recompute_every: int = Field(
        default=200, ge=0, description="steps between two recomputations of the work by partners; 0: none"
    )
    anomalies: bool = Field(default=True, description="take a step again whose loss or gradient norm leaps")


class StragglerChoice(Record):
    action: Literal["report", "replace"] = Field(
        default="report", description="what is done about a rank that is slow for long; replace: a spare takes over"
    )
