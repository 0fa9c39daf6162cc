"""The summary of a run on a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.journal.activities import appearances, label
from paceline.journal.lead import lead
from paceline.journal.summary import Summary
from paceline.journal.units import counted, duration, share
from paceline.spec.events import Activity

_BAR = 24


def print_summary(figures: Summary, console: Console) -> None:
    """The run in figures and where its time went. Colour is the console's choice (`NO_COLOR` is respected)."""
    title = Text(f"{figures.recipe}, run {figures.run}", style="bold")
    parts = Group(Text(lead(figures)), "", _figures(figures), "", _time(figures, ascii_only=console.options.ascii_only))
    console.print(title, Padding(parts, (1, 0, 0, 2)), highlight=False)


def _figures(figures: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("goodput", share(figures.goodput, 1), f"{share(figures.goodput_reserved, 1)} with spares counted")
    if figures.recovery_seconds is not None:
        found = f"fault noticed after {duration(figures.detect_seconds or 0)}"
        table.add_row("recovery", duration(figures.recovery_seconds), found)
    if figures.lost_steps is not None:
        table.add_row("steps lost", f"{figures.lost_steps:,}", f"restored from {figures.restored_from}")
    if figures.final_loss is not None:
        entropy = "" if figures.unigram_entropy is None else f"; unigram entropy {figures.unigram_entropy:.3f}"
        table.add_row("loss", f"{figures.final_loss:.3f}", f"from {figures.first_loss:.3f}{entropy}")
    table.add_row("tokens", f"{figures.train_tokens:,}", f"in {counted(figures.steps, 'step')}")
    if figures.checkpoint_verified is not None:
        table.add_row("checkpoint", "verified" if figures.checkpoint_verified else "refused", "by size and hash")
    if figures.deployed_stacks:
        table.add_row("deployed", counted(len(figures.deployed_stacks), "stack"), ", ".join(figures.deployed_stacks))
    return table


def _time(figures: Summary, *, ascii_only: bool) -> Table:
    """A row per class that has any time; the bars are shares of the largest."""
    seconds = {Activity(name): amount for name, amount in figures.seconds_by_class.items()}
    whole, largest = sum(seconds.values()), max(seconds.values(), default=0.0)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(overflow="crop")
    for activity, look in appearances().items():
        if seconds.get(activity):
            amount = seconds[activity]
            bar = ("#" if ascii_only else "\u2588") * max(1, round(_BAR * amount / largest))
            table.add_row(label(activity), f"{amount:,.3f} s", share(amount, whole), Text(bar, style=look.dark))
    return table
