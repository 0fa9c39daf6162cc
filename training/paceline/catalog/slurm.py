"""What AWS Parallel Computing Service (PCS) accepts: versions of Slurm, sizes, slurm.conf settings (slurm.yaml)."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Literal

from paceline.catalog.instance_types import InstanceType
from paceline.catalog.tables import read_table
from paceline.spec.base import Record

ImageKind = Literal["cpu", "nvidia", "nvidia-arm64", "neuron"]


class SlurmVersion(Record):
    """`end_of_life` is the last day on which PCS makes a cluster of it."""

    version: str
    end_of_life: date
    supported: bool


class ClusterSize(Record):
    """What one controller manages; `jobs` counts running and waiting ones."""

    name: str
    nodes: int
    jobs: int


class Ports(Record):
    """TCP ports; `srun` is an inclusive range."""

    slurmctld: int
    slurmd: int
    srun: tuple[int, int]


class PcsRules(Record):
    """The limits of one PCS cluster. `images` are SSM parameters; None: AWS keeps no image for such nodes."""

    versions: tuple[SlurmVersion, ...]
    sizes: tuple[ClusterSize, ...]
    node_groups: int
    queues: int
    max_accounting_days: int
    ports: Ports
    images: dict[ImageKind, str | None]
    root_device: str
    settings: tuple[str, ...]

    @property
    def supported(self) -> tuple[str, ...]:
        """The versions that a new cluster may have, newest first."""
        return tuple(version.version for version in self.versions if version.supported)

    def version(self, name: str) -> SlurmVersion | None:
        """The row of that version, or None when PCS never had it."""
        return next((version for version in self.versions if version.version == name), None)

    def size(self, name: str) -> ClusterSize:
        """The row of that size. KeyError when there is none."""
        return {size.name: size for size in self.sizes}[name]


def image_kind(hardware: InstanceType) -> ImageKind:
    """Which image nodes of that type need. None of the facts that it rests on may be null."""
    if hardware.family == "neuron":
        return "neuron"
    return "nvidia-arm64" if hardware.cpu_arch == "arm64" else "nvidia"


@cache
def pcs() -> PcsRules:
    """The rules of AWS PCS."""
    return PcsRules.model_validate(read_table("slurm")["pcs"])
