"""`paceline report`: what happened in a run, in figures and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption
from paceline.spec.errors import PacelineError


def report(
    run: Annotated[Path, typer.Argument(help="Directory of the run.", metavar="RUN_DIR")],
    page: Annotated[
        Path | None, typer.Option(help="Where to write the page.", show_default="RUN_DIR/report.html")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the figures of a run and write its report."""
    from rich.console import Console

    from paceline.clients.object_store import DirectoryStore
    from paceline.journal.reader import read
    from paceline.journal.report import render
    from paceline.journal.summary import summary
    from paceline.journal.terminal import print_summary

    reading = read(run / "journal")
    for name in reading.torn:
        typer.echo(f"warning: {name}: the last line is unfinished, because its writer was killed; left out", err=True)
    figures = summary(reading.events)
    page = page or run / "report.html"
    try:
        DirectoryStore(page.parent).put(page.name, render(reading.events).encode())
    except OSError as cause:
        raise PacelineError(
            f"{page}: the report cannot be written: {cause.strerror}", "name another place with `--page`"
        ) from cause
    if output is Output.JSON:
        typer.echo(figures.model_dump_json(indent=2))
    else:
        print_summary(figures, Console())
    typer.echo(f"report: {page}", err=True)
