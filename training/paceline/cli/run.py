"""`paceline run`: train a recipe, here or on Slurm, through faults; started again, it goes on where it was."""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json_line, progress_bars

if TYPE_CHECKING:
    from paceline.spec.events import AnyEvent


class Place(StrEnum):
    """Where nodes come from."""

    LOCAL = "local"
    SLURM = "slurm"


DOCUMENTATION = Path("datasets") / "python-documentation"


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe, or the path of a recipe file.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Where the tokenised data lies: a directory, file:// or s3://. Without it, the documentation of this"
            f" Python, which is then prepared in {DOCUMENTATION}."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value. May be repeated.")
    ] = None,
    on: Annotated[
        Place, typer.Option(help="Nodes are processes of this machine, or those of the Slurm cluster around it.")
    ] = Place.LOCAL,
    local: Annotated[bool, typer.Option("--local", help="The same as --on local.")] = False,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that the run needs.")] = 1,
    spares: Annotated[int, typer.Option(min=0, help="Nodes that stand by.")] = 0,
    min_nodes: Annotated[
        int | None, typer.Option(min=1, help="How far it may shrink without spares; half of --nodes if not given.")
    ] = None,
    lend: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="What spares work at until they are needed; it may be ended at any time. It is run as it stands, by no"
            " shell.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers-per-node", min=1, help="Ranks of each node; as the recipe says, or 1, if not given."),
    ] = None,
    directory: Annotated[Path | None, typer.Option(help="Directory of the run; runs/RECIPE if not given.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="Root of the durable checkpoints; inside the run's directory if not given.")
    ] = None,
    graphs: Annotated[
        str | None,
        typer.Option(
            help="Where graphs compiled ahead are kept for runs like this; beside the checkpoints if not given."
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="TRACKER", help="Send curves to tensorboard, wandb, mlflow or trackio. May be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --on slurm: print the job's script, submit nothing.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Train RECIPE on nodes with spares that take over.

    A run that was stopped goes on from its newest checkpoint when it is started again with the same directory.
    """
    from paceline.clients.slurm import SlurmCommands
    from paceline.journal.export import Exporter
    from paceline.journal.live import LiveLines
    from paceline.journal.reader import read
    from paceline.journal.summary import summary
    from paceline.journal.trackers.registry import create
    from paceline.launch.job import RunRequest, render
    from paceline.launch.local.drive import drive
    from paceline.launch.local.machine import check, check_borrower
    from paceline.launch.local.run import LocalRun
    from paceline.launch.slurm.script import script
    from paceline.launch.slurm.submit import SlurmRun
    from paceline.recipe.load import load
    from paceline.spec.errors import ParameterError

    place_given = Place.LOCAL if local else on
    if dry_run and place_given is Place.LOCAL:
        raise ParameterError("--dry-run: a local run has no script", "give --on slurm; `paceline plan` shows the rest")
    resolved = load(recipe, overrides or ())
    borrower = None if lend is None else _words(lend)
    if place_given is Place.LOCAL:
        check(resolved.recipe)
        if borrower is not None:
            check_borrower(borrower)
    trackers = [create(name) for name in track or ()]
    place = directory or Path("runs") / resolved.recipe.name
    request = RunRequest(
        name=resolved.recipe.name,
        recipe=resolved,
        dataset=data or str(_documentation()),
        checkpoints=checkpoints or str(place.absolute() / "checkpoints"),
        nodes=nodes,
        spares=spares,
        workers_per_node=workers or resolved.recipe.platform.processes_per_node or 1,
        min_nodes=min_nodes,
        lend=borrower,
        graphs=graphs,
    )
    job = render(request, place)
    if dry_run:
        typer.echo(script(job, place), nl=False)
        return
    lines = LiveLines(resolved.recipe.schedule.steps)
    exporter = Exporter(place, trackers, run=job.run, config=job.recipe)

    def show(event: AnyEvent) -> None:
        exporter.observe(event)
        if line := lines.line(event):
            typer.echo(line, err=True)

    def say(text: str) -> None:
        typer.echo(text, err=True)

    try:
        if place_given is Place.LOCAL:
            finished = drive(LocalRun(job, place, os.environ, say), show, say)
        else:
            finished = SlurmRun(job, place, SlurmCommands()).follow(show, say)
    finally:
        exporter.close()
    if output is Output.TEXT:
        typer.echo(f"{job.run}: {finished.outcome} at step {finished.step}; report: paceline report {place}")
        return
    figures = summary(read(Path(job.journal)).events)
    shown = {"final_loss", "tokens_per_second", "mfu", "ledger", "evaluations"}
    result = {"run": job.run, "outcome": finished.outcome, "step": finished.step, "directory": str(place)}
    print_json_line(result | figures.model_dump(mode="json", include=shown))


def _words(command: str) -> tuple[str, ...]:
    """The words of `--lend`, as a shell would read them."""
    from paceline.spec.errors import ParameterError

    try:
        words = tuple(shlex.split(command))
    except ValueError as cause:
        raise ParameterError(f"--lend {command}: {cause}", "close every quote that it opens") from cause
    if not words:
        raise ParameterError("--lend: there is no command in it", "give one, or leave --lend out")
    return words


def _documentation() -> Path:
    """The dataset for those who have none, prepared if it is not there."""
    from paceline.data.prepare import prepare
    from paceline.data.sources import Sources
    from paceline.spec.manifest import MANIFEST_NAME

    if not (DOCUMENTATION / MANIFEST_NAME).is_file():
        plan = Sources.parse([], [])
        with progress_bars() as progress:
            documents = plan.documents(field="text", minimum_characters=1, progress=progress)
            prepare(
                documents, name=DOCUMENTATION.name, source=plan.description, output=DOCUMENTATION, progress=progress
            )
    return DOCUMENTATION
