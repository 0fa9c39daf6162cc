"""Pin the machine images of nodes: what AWS publishes as the newest in a region, with its id, name and date.

EKS and PCS publish in SSM which image they recommend. The pins are written to `amis.lock`, from which the stacks take
what a team's file does not name. The version of a driver is published nowhere that a program can read: nodes hold
theirs against the matrix when they boot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from paceline.catalog.slurm import pcs
from paceline.catalog.versions import versions
from paceline.spec import documents
from paceline.spec.amis import LOCK, Ami, AmiLock, RegionAmis
from paceline.spec.errors import ImageError

_HEAD = """\
# The machine images of nodes, by region: written by `paceline images amis`, read by the stacks, changed by nobody else.
# eks: by version of Kubernetes and type of image. pcs: by kind of node. What is not here is not pinned.

"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One image that AWS keeps up to date: where in the lock it belongs, and the parameters that name the newest."""

    orchestrator: str
    version: str
    kind: str
    image: str
    release: str | None = None

    @property
    def label(self) -> str:
        """How people call it: `eks 1.35 AL2023_x86_64_NVIDIA`."""
        return " ".join(filter(None, (self.orchestrator, self.version, self.kind)))


def channels(today: date) -> Iterator[Channel]:
    """All that the catalog knows: EKS's images for the versions that it still supports, and those of PCS."""
    tables = versions()
    for version in tables.eks:
        if version.support_ends is None or version.support_ends >= today:
            for row in tables.eks_images:
                tree = tables.eks_parameter.format(version=version.version, published=row.published)
                yield Channel(
                    orchestrator="eks",
                    version=version.version,
                    kind=row.ami_type,
                    image=f"{tree}/image_id",
                    release=f"{tree}/release_version",
                )
    for kind, parameter in pcs().images.items():
        if parameter is not None:
            yield Channel(orchestrator="pcs", version="", kind=kind, image=parameter)


def resolve(
    wanted: Sequence[Channel],
    parameters: Callable[[Sequence[str]], Mapping[str, str]],
    images: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]],
) -> tuple[RegionAmis, list[Channel]]:
    """The newest images of a region, and the channels of which it has none.

    `parameters` gives the values of SSM parameters that there are, `images` what EC2 says of image ids.
    """
    names = {name for channel in wanted for name in (channel.image, channel.release) if name}
    values = parameters(sorted(names))
    there = [c for c in wanted if c.image in values and (c.release is None or c.release in values)]
    described = images(sorted({values[c.image] for c in there})) if there else {}
    eks: dict[str, dict[str, Ami]] = {}
    own: dict[str, Ami] = {}
    for channel in there:
        release = values[channel.release] if channel.release else None
        ami = _ami(described[values[channel.image]], release)
        (eks.setdefault(channel.version, {}) if channel.orchestrator == "eks" else own)[channel.kind] = ami
    return RegionAmis(eks=eks, pcs=own), [c for c in wanted if c not in there]


def find(amis: RegionAmis, channel: Channel) -> Ami | None:
    """The pin of a channel."""
    kinds = amis.eks.get(channel.version, {}) if channel.orchestrator == "eks" else amis.pcs
    return kinds.get(channel.kind)


def read(path: Path) -> AmiLock:
    """The lock in `path`; without the file nothing is pinned. ImageError for a broken one."""
    if not path.exists():
        return AmiLock()
    return documents.validate(AmiLock, documents.read(path, ImageError, name=str(LOCK)), ImageError)


def write(path: Path, lock: AmiLock) -> None:
    """Replace the lock."""
    data = lock.model_dump(mode="json", exclude_none=True)
    path.write_text(_HEAD + yaml.safe_dump(data, width=1000), encoding="utf-8")


def _ami(said: Mapping[str, Any], release: str | None) -> Ami:
    return Ami(
        id=said["ImageId"],
        name=said["Name"],
        description=said.get("Description", ""),
        created=date.fromisoformat(said["CreationDate"][:10]),
        release=release,
    )
