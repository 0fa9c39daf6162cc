"""What is known about each fault, and what its maker says to do: one table per maker beside this module.

Tables differ in what their rows quote, not in their form.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field, field_validator

from paceline.catalog.tables import read_table
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError
from paceline.spec.health import Action, Fault, FaultClass


class _Row(Record):
    """A row as it is written. `sources` are keys of the table's sources; absent, those that the row quotes, and for a
    row that quotes nobody all of them."""

    code: int | str
    name: str
    description: str
    boards: tuple[str, ...] = ()
    fault_class: FaultClass = Field(alias="class")
    action: Action | None
    escalation: Action | None
    sources: tuple[str, ...] = ()
    nvidia: str | None = None
    others: dict[str, str] = Field(default_factory=dict)
    pattern: str | None = None

    @field_validator("action", "escalation", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return Action[value.upper()] if isinstance(value, str) else value


class _Table(Record):
    """One file. Codes of its rows follow `prefix`."""

    prefix: str
    sources: dict[str, str]
    faults: tuple[_Row, ...]

    def fault(self, row: _Row) -> Fault:
        says = ({"nvidia": row.nvidia} if row.nvidia else {}) | row.others
        cited = row.sources or tuple(key for key in says if key in self.sources) or tuple(self.sources)
        return Fault(
            code=f"{self.prefix}.{row.code}",
            name=row.name,
            description=row.description,
            fault_class=row.fault_class,
            action=row.action,
            escalation=row.escalation,
            sources=tuple(self.sources[key] for key in cited),
            others=says,
            boards=row.boards,
            pattern=row.pattern,
        )


@cache
def faults() -> dict[str, Fault]:
    """All rows of all tables, by code, in the order of the tables' names."""
    names = (path.name for path in files(__package__).iterdir())
    stems = sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
    tables = [_Table.model_validate(read_table(f"faults/{name}")) for name in stems]
    rows = [table.fault(row) for table in tables for row in table.faults]
    return {row.code: row for row in rows}


@cache
def patterns(prefix: str) -> tuple[tuple[re.Pattern[str], Fault], ...]:
    """The faults under `prefix` that a message announces, each with the expression to search for."""
    rows = [row for row in faults().values() if row.code.startswith(f"{prefix}.") and row.pattern]
    return tuple((re.compile(row.pattern or ""), row) for row in rows)


def fault(code: str) -> Fault:
    """The row of `code`; ParameterError, with the nearest code, when the catalog has none."""
    rows = faults()
    if code not in rows:
        raise ParameterError(f"{code}: not a fault of the catalog", nearest(code, list(rows)))
    return rows[code]
