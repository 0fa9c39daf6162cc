"""A difference in sentences: what is live, what drains, what is made anew, what is refused, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacks.change.budgets import Addresses, Nodes
from stacks.change.changes import Change, Update
from stacks.change.diff import Difference
from stacks.change.templates import StackChange

_HEADINGS: dict[Update, str] = {
    "live": "Live, while jobs run:",
    "drain": "Drains first: nodes or clients must be idle:",
    "replace": "Made anew; what it holds is gone:",
    "never": "Made anew with all that the team holds:",
}


def sentences(difference: Difference) -> Iterator[str]:
    """The lines of a report, without colours."""
    if not difference.stacks and not difference.changes:
        yield f"{difference.team}: nothing changes against {difference.against}."
        return
    if difference.new:
        yield f"{difference.team} does not exist at {difference.against}: everything is created."
    refused = set(map(id, difference.refused))
    for update, heading in _HEADINGS.items():
        chosen = [c for c in difference.changes if c.update == update and id(c) not in refused]
        yield from _listed(heading, [_change(change) for change in chosen])
    reason = "Refused, because it would lose the team's data; make a new team, move the data, tear this one down:"
    yield from _listed(reason, [_change(change) for change in difference.refused])
    yield from _listed("Stacks:", [_stack(stack) for stack in difference.stacks])
    yield from _listed("Addresses:", [_addresses(zone) for zone in difference.addresses])
    yield from _listed("Money:", [_nodes(nodes) for nodes in difference.nodes])


def _listed(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield heading
        yield from (f"  {line}" for line in lines)


def _change(change: Change) -> str:
    if change.old is None:
        return f"{change.key} is added: {_value(change.new)}"
    if change.new is None:
        return f"{change.key} is removed"
    return f"{change.key}: {_value(change.old)} becomes {_value(change.new)} ({change.meaning})"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stack(stack: StackChange) -> str:
    if stack.before == 0:
        return f"{stack.stack} is created with {stack.after} resources"
    if stack.after == 0:
        return f"{stack.stack} is deleted with its {stack.before} resources"
    counts = [(stack.added, "added"), (stack.changed, "changed"), (stack.removed, "removed")]
    said = ", ".join(f"{count} {word}" for count, word in counts if count) or "the same template"
    after = f"; deploy it too: it reads from {' and '.join(stack.follows)}" if stack.follows else ""
    return f"{stack.stack}: {said}; {stack.before} resources become {stack.after}{after}"


def _addresses(zone: Addresses) -> str:
    before = "no subnet" if zone.usable_before is None else f"{zone.taken_before} of {zone.usable_before} taken"
    after = "no subnet" if zone.usable_after is None else f"{zone.taken_after} of {zone.usable_after}"
    return f"{zone.zone}: {before}, afterwards {after}, when every node is there"


def _nodes(nodes: Nodes) -> str:
    kind = f"{nodes.instance_type} ({nodes.purchase})"
    return f"at most {nodes.before} {kind} become {nodes.after}; the price is unknown: the catalog holds none"
