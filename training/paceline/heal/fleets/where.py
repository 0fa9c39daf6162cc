"""Which fleet is meant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class FleetKind(StrEnum):
    """The schedulers that a fleet may have."""

    KUBERNETES = "kubernetes"
    SLURM = "slurm"
    LOCAL = "local"


class Provider(StrEnum):
    """Who the machines are rented from."""

    EC2 = "ec2"
    HYPERPOD = "hyperpod"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """What must be known to reach a fleet. `root` is the directory of a local one, `cluster` HyperPod's name, `api` an
    API server other than the pod's own."""

    kind: FleetKind
    provider: Provider
    team: str
    root: Path | None = None
    cluster: str | None = None
    region: str | None = None
    api: str | None = None
