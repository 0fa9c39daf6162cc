"""The machine images of nodes, pinned: what `paceline images amis` writes and the stacks read.

AWS publishes its newest image under a parameter that moves. Pinned, the same file makes the same nodes tomorrow, and a
newer image comes as a change that somebody reviews.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field

from paceline.spec.base import Record

# Relative to the root of the repository.
LOCK = Path("stacks", "parameters", "amis.lock")

AmiId = Annotated[str, Field(pattern=r"^ami-[0-9a-f]{17}$")]
Release = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+-\d{8}$", description="of an EKS image: 1.35.6-20260728")]


class Ami(Record):
    """An image as EC2 describes it. `release` is what node groups of EKS are told instead of the id."""

    id: AmiId
    name: str
    description: str
    created: date
    release: Release | None = None


class RegionAmis(Record):
    """The images of a region: `eks` by version of Kubernetes and image type, `pcs` by kind of node (catalog.slurm)."""

    eks: dict[str, dict[str, Ami]] = Field(default_factory=dict)
    pcs: dict[str, Ami] = Field(default_factory=dict)


class AmiLock(Record):
    """The whole file; a region that nobody has pinned is not in it."""

    regions: dict[str, RegionAmis] = Field(default_factory=dict)
