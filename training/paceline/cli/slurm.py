"""`paceline slurm`: what a Slurm cluster that you run yourself needs beside its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Slurm clusters that you run yourself.")


@app.command("topology")
def topology(
    switches: Annotated[
        Path | None,
        typer.Option(
            "--switches",
            metavar="FILE",
            help="YAML, `switches:` with the switches of each node from the top down; without it EC2 is asked.",
        ),
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region; without it that of the environment.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the network as the Slurm here reads it: topology.conf before 25.05, topology.yaml since."""
    from paceline.clients.slurm import SlurmCommands
    from paceline.launch.slurm.topology import Network, rendered, tree
    from paceline.spec.documents import read, validate
    from paceline.spec.errors import ParameterError

    slurm = SlurmCommands()
    if switches:
        placed = validate(Network, read(switches, ParameterError), ParameterError).switches
    else:
        placed = _asked(slurm.show("nodes"), region)
    name, text = rendered(tree(placed), slurm.version())
    if output is Output.JSON:
        print_json({"file": name, "text": text, "nodes": len(placed)})
        return
    typer.echo(text, nl=False)
    typer.echo(
        f"{len(placed)} nodes; write this to {name} beside slurm.conf with TopologyPlugin=topology/tree, and restart"
        " slurmctld; again after nodes were replaced",
        err=True,
    )


def _asked(records: Sequence[Mapping[str, Any]], region: str | None) -> dict[str, tuple[str, ...]]:
    from paceline.clients import ec2
    from paceline.spec.errors import ClusterError

    machines = {str(record["name"]): str(record.get("instance_id") or "") for record in records}
    if unknown := [node for node, machine in machines.items() if not machine]:
        raise ClusterError(
            f"{', '.join(unknown)}: Slurm does not know which instance that is",
            "start slurmd with --instance-id, or describe the network in a file (--switches FILE)",
        )
    said = ec2.switches(ec2.client(region), list(machines.values()))
    return {node: said.get(machine, ()) for node, machine in machines.items()}
