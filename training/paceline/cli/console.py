"""What all commands share: data goes to stdout, talk to stderr, and `-o json` prints data for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from paceline.spec.errors import PacelineError


class Output(StrEnum):
    """How a command prints its data."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the data.")]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns under their headings. Never cut to the terminal: what is read may be piped."""
    table = [[column.upper() for column in columns], *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per kind of work, on stderr: call what you get with the kind, how much is done, and of how much."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], total=total, completed=done)

        yield show


def print_error(error: PacelineError) -> None:
    """To stderr, in colour on a terminal that wants it (`NO_COLOR` is respected)."""
    from rich.console import Console
    from rich.text import Text

    text = Text(error.render())
    text.highlight_regex(r"(?m)^error:", "bold red")
    text.highlight_regex(r"(?m)^hint:", "bold cyan")
    Console(stderr=True).print(text, soft_wrap=True)
