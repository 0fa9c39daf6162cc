"""`paceline agent`: watch this node all day."""

from __future__ import annotations

import asyncio
import platform
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.node import (
    DriverOption,
    EfaOption,
    ImageOption,
    InstanceTypeOption,
    MatrixOption,
    NameOption,
    RootOption,
    SharedOption,
    this_node,
)
from paceline.spec.errors import LaunchError
from paceline.spec.names import METRICS_PORT

if TYPE_CHECKING:
    from paceline.health.agent import Agent
    from paceline.health.publish.base import Desk


class Cluster(StrEnum):
    """Who is told how the node stands, beside the supervisors on it, and whose healer is obeyed."""

    KUBERNETES = "kubernetes"
    SLURM = "slurm"
    NOTHING = "nothing"


def agent(
    publish: Annotated[Cluster, typer.Option("--publish", help="Whom to tell.")] = Cluster.NOTHING,
    supervisors: Annotated[
        Path | None,
        typer.Option("--supervisors", metavar="DIR", help="Tell the supervisors whose directories are below DIR."),
    ] = None,
    journal: Annotated[Path | None, typer.Option("--journal", metavar="DIR", help="Write events there.")] = None,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="FILE", help="Remember there what was reported already.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Serve metrics there.")
    ] = f"0.0.0.0:{METRICS_PORT}",
    instance_type: InstanceTypeOption = None,
    shared: SharedOption = None,
    efa: EfaOption = None,
    driver: DriverOption = None,
    matrix: MatrixOption = None,
    image: ImageOption = None,
    root: RootOption = Path("/"),
    node: NameOption = None,
) -> None:
    """Watch this node until SIGTERM: run its continuous checks, serve metrics, tell who should know.

    SIGHUP says that the node was repaired, and what was found before is forgotten.
    """
    from paceline.health.agent import Agent
    from paceline.health.bookmark import Bookmark
    from paceline.health.identity import boot_id
    from paceline.health.probe import HostProbe
    from paceline.health.publish.supervisor import SupervisorPublisher
    from paceline.journal.writer import Journal

    probe = HostProbe(root)
    said = {"shared": tuple(shared or ()), "driver": driver, "image": image}
    here = this_node(probe, node, instance_type, efa=efa, matrix=matrix, **said)
    watching = Agent(
        here,
        probe,
        [SupervisorPublisher(supervisors)] if supervisors else [],
        desks=_desks(publish, here.name),
        journal=Journal(journal, run="health", producer=f"{here.name}.agent", node=here.name) if journal else None,
        bookmark=Bookmark(state, boot_id(probe)) if state else None,
    )
    names = ", ".join(check.name() for check in watching.checks)
    typer.echo(f"{here.name} ({here.instance_type or platform.machine()}): {names}", err=True)
    asyncio.run(_watch(watching, listen))


async def _watch(agent: Agent, listen: str) -> None:
    from paceline.journal.exposition import serve

    host, _, port = listen.rpartition(":")
    try:
        server = await serve(agent.measurements.render, host, int(port))
    except (OSError, ValueError) as error:
        raise LaunchError(f"cannot serve metrics on {listen}: {error}", "choose another --listen HOST:PORT") from error
    async with server:
        await agent.run()


def _desks(cluster: Cluster, node: str) -> list[Desk]:
    if cluster is Cluster.KUBERNETES:
        from paceline.clients.kubernetes import RestKubernetes
        from paceline.health.publish.kubernetes import KubernetesPublisher

        return [KubernetesPublisher(RestKubernetes.connect(), node)]
    if cluster is Cluster.SLURM:
        from paceline.clients.slurm import SlurmCommands
        from paceline.health.publish.slurm import SlurmPublisher

        return [SlurmPublisher(SlurmCommands(), node)]
    return []
