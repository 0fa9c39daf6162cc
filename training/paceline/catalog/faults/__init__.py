"""What is known about each fault, and what its maker says to do: one table per maker beside this module.

Tables differ in what their rows quote, not in their form (`_Row`, `_Group`). A group stands for codes of which no
more is known than what they have in common.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field, field_validator

from paceline.catalog.tables import read_table
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError
from paceline.spec.health import Action, Fault, FaultClass


class _Verdict(Record):
    """What rows and groups share. `sources` are keys of the table's sources; absent, those that the row quotes, and
    for a row that quotes nobody all of them."""

    name: str
    fault_class: FaultClass = Field(alias="class")
    action: Action | None
    escalation: Action | None
    sources: tuple[str, ...] = ()
    nvidia: str | None = None
    others: dict[str, str] = Field(default_factory=dict)

    @field_validator("action", "escalation", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return Action[value.upper()] if isinstance(value, str) else value

    def fault(self, code: str, description: str, sources: dict[str, str], boards: tuple[str, ...]) -> Fault:
        says = ({"nvidia": self.nvidia} if self.nvidia else {}) | self.others
        cited = self.sources or tuple(key for key in says if key in sources) or tuple(sources)
        return Fault(
            code=code,
            name=self.name,
            description=description,
            fault_class=self.fault_class,
            action=self.action,
            escalation=self.escalation,
            sources=tuple(sources[key] for key in cited),
            others=says,
            boards=boards,
        )


class _Row(_Verdict):
    code: int | str
    description: str
    boards: tuple[str, ...] = ()


class _Group(_Verdict):
    codes: tuple[int | str, ...]


class _Table(Record):
    prefix: str
    sources: dict[str, str]
    faults: tuple[_Row, ...] = ()
    groups: tuple[_Group, ...] = ()

    def all(self) -> list[Fault]:
        rows = [
            row.fault(f"{self.prefix}.{row.code}", row.description, self.sources, row.boards) for row in self.faults
        ]
        for group in self.groups:
            rows += [group.fault(f"{self.prefix}.{code}", group.name, self.sources, ()) for code in group.codes]
        return rows


@cache
def faults() -> dict[str, Fault]:
    """All rows of all tables, by code, in the order of the tables' names."""
    names = (path.name for path in files(__package__).iterdir())
    tables = sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
    rows = [fault for name in tables for fault in _Table.model_validate(read_table(f"faults/{name}")).all()]
    return {row.code: row for row in rows}


def fault(code: str) -> Fault:
    """The row of `code`; ParameterError, with the nearest code, when the catalog has none."""
    rows = faults()
    if code not in rows:
        raise ParameterError(f"{code}: not a fault of the catalog", nearest(code, list(rows)))
    return rows[code]
