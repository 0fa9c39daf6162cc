"""What is watched while a run trains: whether its results are right, and whether its ranks keep the pace."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from paceline.spec.base import Record


class SentinelChoice(Record):
    """Against silent corruption (docs/concepts/sentinel.md). The cadences bound what it costs: a recomputation takes
    less than a step, so with the defaults all of it takes at most 1 % of the time."""

    every: int = Field(
        default=1, ge=1, description="least steps between two checks of the state at rest and of its replicas"
    )
    overhead: float = Field(
        default=0.005,
        gt=0,
        le=1,
        description="most of the time that these checks may take; where it is too little for `every`, they are rarer",
    )
    recompute_every: int = Field(
        default=200, ge=0, description="steps between two recomputations of the work by partners; 0: none"
    )
    anomalies: bool = Field(default=True, description="take a step again whose loss or gradient norm leaps")


class StragglerChoice(Record):
    action: Literal["report", "replace"] = Field(
        default="report", description="what is done about a rank that is slow for long; replace: a spare takes over"
    )
