"""What a run was told: written once by the launcher as `run.json`, before the first process starts."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from paceline.spec.base import Record

RUN_NAME = "run.json"
JOURNAL_DIRECTORY = "journal"


class RunRecord(Record):
    """What is needed to replay what a run consumed. `dataset` is the place it was read from: a URI, or a
    directory, absolute or relative to the run's."""

    format_version: int = 1
    run: str
    recipe: dict[str, Any] = Field(description="the resolved recipe")
    dataset: str
    dataset_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sequence_length: int = Field(ge=1)
    seed: int = Field(ge=0, description="of the data order")
    sequences_per_step: int = Field(ge=1)
