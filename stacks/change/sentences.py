"""A difference in sentences: what is live, what drains, what is made anew, what is refused, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paceline.catalog.cloudformation import template_limits
from stacks.change.addresses import Addresses
from stacks.change.changes import Change, Obstacle, Update
from stacks.change.costs import HOURS_PER_MONTH, Bill, Cost
from stacks.change.diff import Difference
from stacks.change.templates import StackChange

_HEADINGS: dict[Update, str] = {
    "live": "Live, while jobs run:",
    "drain": "Drains first: nodes or clients must be idle:",
    "replace": "Made anew or removed, with what it holds (of a retained team the old one stays, unused and paid for):",
    "never": "Made anew with all that the team holds:",
}
_CURES: dict[Obstacle, str] = {
    "data": "it would lose the team's data: make a new team, move the data, tear this one down",
    "fixed": "the stacks would be others, and the old ones stay: tear the team down first, with the file as it was",
    "back": "AWS lets it only grow: keep {old}, or make a new team with {new}",
    "leap": "EKS takes one minor version at a time: deploy {next} first",
}


def sentences(difference: Difference) -> Iterator[str]:
    """The lines of a report, without colours. The first says what the file is compared with."""
    yield f"{difference.team}, compared with {difference.against}:"
    if difference.new:
        yield "There is no such team there: everything is created."
    if difference.unrecorded:
        yield "It was never deployed whole, so nothing says from which parameters: only the stacks are compared."
    yield from _listed("Not settled, so that what follows may not be what is there:", _unsettled(difference))
    refused = set(map(id, difference.refused))
    for update, heading in _HEADINGS.items():
        chosen = [c for c in difference.changes if c.update == update and id(c) not in refused]
        yield from _listed(heading, [_change(change) for change in chosen])
    yield from _listed("Refused:", [_refusal(change) for change in difference.refused])
    yield from _listed("Stacks, in the order of deployment:", [_stack(s, difference.team) for s in difference.stacks])
    yield from _listed("Addresses, when every node is there:", [_addresses(a) for a in difference.addresses])
    yield from _listed(f"Money per month, when every node is there all {HOURS_PER_MONTH} hours:", _bill(difference))
    if not difference.changes and not difference.stacks:
        yield "Nothing changes."


def _listed(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield heading
        yield from (f"  {line}" for line in lines)


def _unsettled(difference: Difference) -> list[str]:
    return [f"{stack} is {status}" for stack, status in difference.unsettled.items()]


def _change(change: Change) -> str:
    if change.old is None:
        return f"{change.key} is added: {_value(change.new)}"
    if change.new is None:
        return f"{change.key} is removed"
    return f"{change.key}: {_value(change.old)} becomes {_value(change.new)} ({change.meaning})"


def _refusal(change: Change) -> str:
    assert change.obstacle is not None
    cure = _CURES[change.obstacle].format(old=change.old, new=change.new, next=_next(change.old))
    return f"{_change(change)}; {cure}"


def _next(version: Any) -> str:
    """The minor version after `1.33`; empty for what is no version."""
    major, dot, minor = str(version).partition(".")
    return f"{major}.{int(minor) + 1}" if dot and minor.isdigit() else ""


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_part(item)}" for key, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_part, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _part(value: Any) -> str:
    return f"({_value(value)})" if isinstance(value, dict) else _value(value)


def _stack(stack: StackChange, team: str) -> str:
    before, after, limits = stack.before, stack.after, template_limits()
    if after is None:
        gone = f"aws cloudformation delete-stack --stack-name {team}-{stack.stack}"
        return f"{stack.stack} is in the file no more, and `cdk deploy` leaves it as it is: {gone}"
    size = f"{after.resources} of {limits.max_resources} resources, {_kb(after.size)} of {_kb(limits.max_bytes)} kB"
    if before is None:
        return f"{stack.stack} is created: {size}"
    counts = [(stack.added, "added"), (stack.changed, "changed"), (stack.removed, "removed")]
    said = ", ".join(f"{count} {word}" for count, word in counts if count) or "other outputs"
    if stack.follows and not any(count for count, _ in counts):
        said = "the same resources"
    follows = f"; deploy it too: it reads from {' and '.join(stack.follows)}" if stack.follows else ""
    return f"{stack.stack}: {said}; {before.resources} resources, {_kb(before.size)} kB become {size}{follows}"


def _kb(size: int) -> str:
    return f"{size / 1000:,.0f}"


def _addresses(subnet: Addresses) -> str:
    before = "no subnet" if subnet.usable_before is None else f"{subnet.taken_before} of {subnet.usable_before} taken"
    after = "no subnet" if subnet.usable_after is None else f"{subnet.taken_after} of {subnet.usable_after}"
    return f"{subnet.subnet}: {before}, afterwards {after}"


def _bill(difference: Difference) -> list[str]:
    """What changes; then the sums, if there is a price at all and something to compare them for."""
    bill = difference.bill
    lines = [_cost(cost) for cost in bill.costs if cost.before != cost.after]
    if lines and any(cost.kind.usd is not None for cost in bill.costs):
        lines.append(_sums(bill))
    return lines


def _cost(cost: Cost) -> str:
    kind = cost.kind
    said = f"at most {cost.before:,} become {cost.after:,} {kind.unit} of {kind.what}"
    if kind.usd is None:
        return f"{said}: unknown: no {kind.price} in platform.yaml"
    return f"{said}: {cost.before * kind.usd:,.0f} USD become {cost.after * kind.usd:,.0f} USD"


def _sums(bill: Bill) -> str:
    missing = sum(cost.kind.usd is None and bool(cost.before or cost.after) for cost in bill.costs)
    without = f", without {missing} unknown prices" if missing > 1 else ", without one unknown price" if missing else ""
    budget = "no budget" if bill.budget_usd is None else f"a budget of {bill.budget_usd:,} USD"
    over = ", which is less" if bill.budget_usd is not None and bill.after_usd > bill.budget_usd else ""
    return (
        f"nodes and file systems: {bill.before_usd:,.0f} USD become {bill.after_usd:,.0f} USD{without}; {budget}{over}"
    )
