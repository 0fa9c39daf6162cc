"""`paceline run`: train a recipe on this machine, through faults; started again, it goes on where it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json

if TYPE_CHECKING:
    from paceline.spec.events import AnyEvent


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe, or the path of a recipe file.")],
    data: Annotated[str, typer.Option(help="Where the tokenised data lies: a directory, file:// or s3://.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value. May be repeated.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that the run needs.")] = 1,
    spares: Annotated[int, typer.Option(min=0, help="Nodes that stand by.")] = 0,
    min_nodes: Annotated[
        int | None, typer.Option(min=1, help="How far it may shrink without spares; half of --nodes if not given.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers-per-node", min=1, help="Ranks of each node.")] = 1,
    directory: Annotated[Path | None, typer.Option(help="Directory of the run; runs/RECIPE if not given.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="Root of the durable checkpoints; inside the run's directory if not given.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Train RECIPE on this machine: every node a process group, with spares that take over.

    A run that was stopped goes on from its newest checkpoint when it is started again with the same directory.
    """
    from paceline.journal.live import LiveLines
    from paceline.launch.job import RunRequest, render
    from paceline.launch.local.drive import drive
    from paceline.launch.local.run import LocalRun
    from paceline.recipe.load import load

    resolved = load(recipe, overrides or ())
    place = directory or Path("runs") / resolved.recipe.name
    request = RunRequest(
        name=resolved.recipe.name,
        recipe=resolved,
        dataset=data,
        checkpoints=checkpoints or str(place.absolute() / "checkpoints"),
        nodes=nodes,
        spares=spares,
        workers_per_node=workers,
        min_nodes=min_nodes,
    )
    job = render(request, place)
    lines = LiveLines(resolved.recipe.schedule.steps)

    def show(event: AnyEvent) -> None:
        if line := lines.line(event):
            typer.echo(line, err=True)

    finished = drive(LocalRun(job, place, os.environ), show, lambda text: typer.echo(text, err=True))
    result = {"run": job.run, "outcome": finished.outcome, "step": finished.step, "directory": str(place)}
    if output is Output.JSON:
        print_json(result)
    else:
        typer.echo(f"{job.run}: {finished.outcome} at step {finished.step}; report: paceline report {place}")
