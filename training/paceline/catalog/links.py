"""How fast accelerators of a node reach each other, other nodes, and the memory of their host (links.yaml)."""

from __future__ import annotations

from functools import cache

from pydantic import Field

from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class Link(Record):
    """Decimal GB/s of one accelerator, in one direction. None: no source was found."""

    instance_types: tuple[str, ...] = Field(min_length=1)
    within_node: float | None
    measured: bool
    to_host: float | None
    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class Network(Record):
    """The share of a node's network bandwidth that a collective over whole nodes gets."""

    share: float = Field(gt=0, le=1)
    sources: tuple[str, ...]


class Links(Record):
    """The whole table; `sources` says what the short names stand for."""

    sources: dict[str, str]
    network: Network
    links: tuple[Link, ...]

    def of(self, instance_type: str) -> Link | None:
        """The row of an instance type; None if there is none."""
        return next((row for row in self.links if instance_type in row.instance_types), None)


@cache
def links() -> Links:
    """The table."""
    return Links.model_validate(read_table("links"))
