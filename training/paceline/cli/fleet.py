"""How commands name a fleet: the options that `paceline controller` and `paceline heal` share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from paceline.heal.fleets.where import FleetKind, Provider, Where
from paceline.spec.names import ENV_TEAM

_EVIDENCE = str(Path(tempfile.gettempdir()) / "paceline")
_JOURNAL = Path(_EVIDENCE) / "journal"

Kind = Annotated[
    FleetKind | None,
    typer.Option("--fleet", help="Scheduler of the fleet.", show_default="kubernetes in a pod, else slurm"),
]
Upstream = Annotated[
    Provider | None,
    typer.Option("--provider", help="Who reboots and replaces machines.", show_default="ec2 for kubernetes, else none"),
]
Team = Annotated[str, typer.Option(envvar=ENV_TEAM, help="The team whose nodes they are.")]
Root = Annotated[Path | None, typer.Option(help="Directory of a local fleet.")]
Cluster = Annotated[str | None, typer.Option(help="Name or ARN of the HyperPod cluster.")]
Region = Annotated[str | None, typer.Option(help="AWS region; without it that of the environment.")]
Api = Annotated[str | None, typer.Option(help="URL of an API server, e.g. that of `kubectl proxy`.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The team's own policy, over the shipped one.")]
Evidence = Annotated[
    str,
    typer.Option(
        envvar="PACELINE_EVIDENCE",
        help="Directory or s3://bucket/prefix for evidence and memory.",
        show_default="paceline/ in the directory for temporary files",
    ),
]

JournalPlace = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        help="Where the controller writes its events.",
        show_default="paceline/journal in the directory for temporary files",
    ),
]


def where(
    kind: FleetKind | None,
    provider: Provider | None,
    team: str,
    root: Path | None,
    cluster: str | None,
    region: str | None,
    api: str | None,
) -> Where:
    """The fleet that was named; what was left out is read off the surroundings."""
    if kind is None:
        in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
        kind = FleetKind.LOCAL if root else FleetKind.KUBERNETES if in_pod or api else FleetKind.SLURM
    if provider is None:
        provider = Provider.EC2 if kind is FleetKind.KUBERNETES else Provider.NONE
    return Where(kind=kind, provider=provider, team=team, root=root, cluster=cluster, region=region, api=api)


def evidence_place(given: str) -> str:
    """Where evidence goes."""
    return given or _EVIDENCE


def journal_place(given: Path | None) -> Path:
    """Where the controller's events are."""
    return given or _JOURNAL
