"""What a cluster pulls that is not the team's own, and where its copy lies in the team's registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Literal

from paceline.catalog.cluster_software import Chart, Software, SoftwareImage

# In the scripts' tables; an empty field would be swallowed by the shell.
UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class Copy:
    """One line of mirror.tsv: `digest` is that of a manifest, for an `archive` that of the file."""

    kind: Literal["image", "chart", "archive"]
    source: str
    version: str
    digest: str
    repository: str


def chart_repository(prefix: str, chart: Chart) -> str:
    """Where the copy of the chart lies in the registry, below `prefix`."""
    return f"{prefix}/charts/{chart.name}"


def image_repository(prefix: str, image: SoftwareImage) -> str:
    """Where the copy of the image lies in the registry, below `prefix`."""
    return f"{prefix}/images/{image.short_name}"


def copies(prefix: str, rows: Mapping[str, Software]) -> Iterator[Copy]:
    """What has to be copied before `rows`, whose versions are known, can be installed."""
    for row in rows.values():
        chart = row.chart
        assert chart.version is not None, "validators/eks.py refuses software that nobody has verified"
        in_registry = chart.repository.startswith("oci://")
        yield Copy(
            "chart" if in_registry else "archive",
            f"{chart.repository.removeprefix('oci://')}/{chart.name}",
            chart.version,
            chart.digest or UNKNOWN,
            chart_repository(prefix, chart),
        )
        for image in row.images:
            assert image.tag is not None, "validators/eks.py refuses software that nobody has verified"
            yield Copy("image", image.name, image.tag, image.digest or UNKNOWN, image_repository(prefix, image))


def table(lines: Iterable[Copy]) -> str:
    """mirror.tsv, which mirror.sh and apply.sh read."""
    return "".join("\t".join(astuple(line)) + "\n" for line in lines)
