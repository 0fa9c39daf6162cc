"""What deploying a team's file would do, as data; `sentences` says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stacks.change import budgets, changes, templates
from stacks.change.budgets import Addresses, Nodes
from stacks.change.changes import Change
from stacks.change.templates import StackChange
from stacks.settings import Parameters, Team


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """From `against` to the file of `team`. A `new` team has nothing to compare with: its stacks are all created.

    `refused` are the changes that would lose the data of a team that holds data, or that AWS does not know.
    """

    team: str
    against: str
    new: bool
    changes: tuple[Change, ...]
    refused: tuple[Change, ...]
    stacks: tuple[StackChange, ...]
    addresses: tuple[Addresses, ...]
    nodes: tuple[Nodes, ...]

    def plain(self) -> dict[str, Any]:
        """For `-o json`."""
        document = asdict(self)
        for key in ("changes", "refused"):
            document[key] = [{**asdict(change), "path": change.key} for change in getattr(self, key)]
        return document


def difference(team: Team, old: Parameters | None, *, against: str, flags: Mapping[str, Any]) -> Difference:
    """Compare `team` with the parameters `old` that it had; `flags` is the context of cdk.json."""
    new = team.parameters
    found = changes.compare(old, new) if old is not None else ()
    stacks: tuple[StackChange, ...] = ()
    if old != new:
        before = templates.synthesize(Team(name=team.name, parameters=old), flags) if old is not None else {}
        stacks = templates.compare(before, templates.synthesize(team, flags), team=team.name)
    holds_data = old is not None and old.lifecycle == "retained"
    return Difference(
        team=team.name,
        against=against,
        new=old is None,
        changes=found,
        refused=tuple(change for change in found if change.update == "never" and (holds_data or _shrinks(change))),
        stacks=stacks,
        addresses=budgets.addresses(old, new),
        nodes=budgets.nodes(old, new),
    )


def _shrinks(change: Change) -> bool:
    return isinstance(change.old, int) and isinstance(change.new, int) and change.new < change.old
