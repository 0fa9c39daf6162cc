"""What deploying a team's file would do, as data; `sentences` says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stacks.change import addresses, changes, templates
from stacks.change.addresses import Addresses
from stacks.change.baseline import Baseline
from stacks.change.changes import Change
from stacks.change.costs import Bill, bill
from stacks.change.templates import StackChange
from stacks.settings import Parameters, Team


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """From `against` to the file of `team`. A `new` team has nothing to compare with: its stacks are all created.

    `refused` are the changes that must not be deployed. `unsettled` are stacks whose deployment failed or goes on, with
    their status. `unrecorded`: there are stacks, and none says from which parameters, so that fields are not compared.
    """

    team: str
    against: str
    new: bool
    unrecorded: bool
    changes: tuple[Change, ...]
    refused: tuple[Change, ...]
    stacks: tuple[StackChange, ...]
    unsettled: Mapping[str, str]
    addresses: tuple[Addresses, ...]
    bill: Bill

    def plain(self) -> dict[str, Any]:
        """For `-o json`."""
        document = asdict(self)
        for key in ("changes", "refused"):
            document[key] = [{**asdict(change), "path": change.key} for change in getattr(self, key)]
        return document


def difference(team: Team, baseline: Baseline, *, flags: Mapping[str, Any]) -> Difference:
    """Compare `team` with `baseline`; `flags` is the context of cdk.json."""
    new, old = team.parameters, _at_prices_of(team.parameters, baseline.parameters)
    found = changes.compare(old, new) if old is not None else ()
    before = baseline.templates
    stacks: tuple[StackChange, ...] = ()
    if old != new or before is not None:
        if before is None:
            before = templates.synthesize(Team(name=team.name, parameters=old), flags) if old is not None else {}
        stacks = templates.compare(before, templates.synthesize(team, flags), team=team.name)
    holds_data = old is not None and old.lifecycle == "retained"
    return Difference(
        team=team.name,
        against=baseline.name,
        new=old is None and not baseline.templates,
        unrecorded=old is None and bool(baseline.templates),
        changes=found,
        refused=tuple(c for c in found if c.update == "never" and (holds_data or c.obstacle != "data")),
        stacks=stacks,
        unsettled=baseline.unsettled or {},
        addresses=addresses.compare(old, new),
        bill=bill(old, new),
    )


def _at_prices_of(new: Parameters, old: Parameters | None) -> Parameters | None:
    """`old` with today's prices: nothing is deployed from a price, and two figures compare at the same ones only."""
    return old.model_copy(update={"prices": new.prices}) if old is not None else None
