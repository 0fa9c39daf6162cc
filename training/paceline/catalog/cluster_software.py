"""Which software a cluster can have beside jobs: charts, versions, images (cluster_software.yaml)."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.tables import read_table
from paceline.spec.base import Record

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Chart(Record):
    """A Helm chart. Without a version nobody has verified one.

    `digest` is that of the manifest in an oci:// repository, of the archive in an https:// one; None is unknown.
    """

    repository: str
    name: str
    version: str | None
    digest: Digest | None


class ImageValues(Record):
    """The chart's values that name an image, as dotted paths."""

    repository: str
    tag: str


class SoftwareImage(Record):
    """A public image, and how the chart is told to take it from elsewhere. `digest` None is unknown."""

    name: str
    tag: str | None
    digest: Digest | None
    values: ImageValues

    @property
    def short_name(self) -> str:
        """The last part of the name: what a copy of it is called."""
        return self.name.rsplit("/", 1)[-1]


class Software(Record):
    """One program. `serves` names what its nodes cannot be used without it."""

    namespace: str
    chart: Chart
    images: tuple[SoftwareImage, ...]
    serves: Literal["nvidia", "neuron", "efa"] | None = None
    sources: tuple[str, ...] = Field(min_length=1)

    @property
    def is_verified(self) -> bool:
        """Whether the versions of the chart and of all its images are known."""
        return self.chart.version is not None and all(image.tag is not None for image in self.images)


@cache
def cluster_software() -> dict[str, Software]:
    """All rows by name."""
    rows = read_table("cluster_software")["software"]
    return {name: Software.model_validate(row) for name, row in rows.items()}
