"""Training throughput that others have published (published_runs.yaml)."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class Model(Record):
    """As in a recipe."""

    family: str
    preset: str


class PublishedRun(Record):
    """One run. `parallelism` is as in a recipe; `sequences` are those of a step; `recomputed` is the share of the
    layers' forward pass that backward did again; `assumed` names what the source does not say; `difference` why a
    prediction may be off.

    `tokens_per_second` is per accelerator. `mfu` is over the dense bfloat16 peak, with attention counted in full.
    """

    run: str
    instance: str
    accelerators: int
    model: Model
    sequence_length: int
    precision: Literal["bfloat16", "float8"]
    parallelism: dict[str, Any] = Field(default={})
    sequences: int
    micro_sequences: int
    recomputed: float = Field(ge=0, le=1)
    tokens_per_second: float | None = None
    mfu: float | None = None
    calibrates: bool = False
    assumed: tuple[str, ...] = ()
    sources: tuple[str, ...] = Field(min_length=1)
    difference: str | None = None

    @model_validator(mode="after")
    def _has_one_result(self) -> Self:
        if (self.tokens_per_second is None) == (self.mfu is None):
            raise ValueError("a run has tokens_per_second or mfu")
        return self


class PublishedRuns(Record):
    """The whole table; `sources` says what the short names stand for."""

    sources: dict[str, str]
    runs: tuple[PublishedRun, ...]


@cache
def published_runs() -> PublishedRuns:
    """The table."""
    return PublishedRuns.model_validate(read_table("published_runs"))
