"""`paceline demo`: see the whole loop on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json


def demo(
    directory: Annotated[Path, typer.Option(help="Directory of the demo; an unfinished one in it goes on.")] = Path(
        "runs/demo"
    ),
    recipe: Annotated[str, typer.Option(help="What to train.")] = "debug-llama",
    output: OutputOption = Output.TEXT,
) -> None:
    """Deploy to an embedded AWS, train on real text, lose a node, heal, verify, resume, report."""
    from rich.console import Console

    from paceline.journal.terminal import print_summary
    from paceline.local.demo import Demo

    figures = Demo(directory, recipe, lambda line: typer.echo(line, err=True)).run()
    if output is Output.JSON:
        print_json(figures.model_dump(mode="json"))
    else:
        print_summary(figures, Console())
