"""What health checks judge by: limits, fabric baselines, and what each check is known to find (checks.yaml)."""

from __future__ import annotations

from functools import cache
from typing import Any

from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class Baseline(Record):
    """What a healthy node reached: `busbw` in GB/s for an all_reduce of `payload_gib` with this version of NCCL."""

    instance_type: str
    payload_gib: int
    nccl: str
    busbw: float
    source: str


@cache
def _table() -> dict[str, Any]:
    return read_table("checks")


def limit(name: str) -> float:
    """The limit called `name`; the unit is in its name."""
    return float(_table()["limits"][name]["value"])


@cache
def efa_bursts() -> dict[str, int]:
    """How much each EFA counter may grow within one period of the check."""
    return dict(_table()["efa_counters"]["burst"])


@cache
def baselines() -> tuple[Baseline, ...]:
    """The published baselines of single nodes."""
    return tuple(Baseline.model_validate(row) for row in _table()["baselines"])


def found_percent(check: str) -> float | None:
    """The share of a fleet's nodes that `check` was published to find defective, in percent; None: nobody says."""
    return next((row["percent"] for row in _table()["yields"] if row["check"] == check), None)
