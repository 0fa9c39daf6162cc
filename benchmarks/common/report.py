"""What a benchmark prints: Markdown tables, and the lines that say how to read them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPREAD = ("median", "min", "max")


def spread(values: Sequence[float], digits: int = 2) -> tuple[str, str, str]:
    """Median, smallest and largest of `values` as cells, under the columns SPREAD; dashes when there are none."""
    if not values:
        return ("-", "-", "-")
    return (
        f"{statistics.median(values):.{digits}f}",
        f"{min(values):.{digits}f}",
        f"{max(values):.{digits}f}",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under `columns`. The first column is text, the others are figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table, padded so that it can be read as plain text too. A row of another length is a ValueError."""
        lines = (self.columns, *self.rows)
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join(
            [_line(self.columns, widths), "| " + " | ".join(rule) + " |"] + [_line(row, widths) for row in self.rows]
        )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if position == 0 else cell.rjust(width)
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One benchmark's outcome. `notes` say what was compared, and what the figures do not show."""

    title: str
    table: Table
    notes: tuple[str, ...]

    def markdown(self, facts: Mapping[str, str]) -> str:
        """The whole report; `facts` describe the machine and the moment."""
        blocks = (
            f"# {self.title}",
            "\n".join(f"* {name}: {value}" for name, value in facts.items()),
            self.table.markdown(),
            "\n".join(f"* {note}" for note in self.notes),
        )
        return "\n\n".join(blocks) + "\n"
