"""What a team takes from its subnets and from the budget of the person who pays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from paceline.catalog.instance_types import instance_types
from paceline.catalog.network import usable_addresses
from stacks.settings import Parameters
from stacks.validators.addresses import addresses_per_node


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """IP addresses of one zone's subnet: usable ones (None: no subnet), and what endpoints and all nodes take."""

    zone: str
    usable_before: int | None
    taken_before: int
    usable_after: int | None
    taken_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """Most nodes of one instance type, bought in one way."""

    instance_type: str
    purchase: str
    before: int
    after: int


def addresses(old: Parameters | None, new: Parameters) -> tuple[Addresses, ...]:
    """Every zone whose subnet, or whose use of it, changes."""
    before, after = _usable(old), _usable(new)
    taken_before, taken_after = _taken(old), _taken(new)
    found = (
        Addresses(
            zone=zone,
            usable_before=before.get(zone),
            taken_before=taken_before.get(zone, 0),
            usable_after=after.get(zone),
            taken_after=taken_after.get(zone, 0),
        )
        for zone in dict.fromkeys([*before, *after])
    )
    return tuple(a for a in found if (a.usable_before, a.taken_before) != (a.usable_after, a.taken_after))


def nodes(old: Parameters | None, new: Parameters) -> tuple[Nodes, ...]:
    """Every kind of node whose number changes."""
    before, after = _counted(old), _counted(new)
    return tuple(
        Nodes(instance_type=kind[0], purchase=kind[1], before=before[kind], after=after[kind])
        for kind in sorted(before.keys() | after.keys())
        if before[kind] != after[kind]
    )


def _usable(parameters: Parameters | None) -> dict[str, int]:
    subnets = parameters.network.subnets if parameters else {}
    return {zone: usable_addresses(block) for zone, block in subnets.items()}


def _taken(parameters: Parameters | None) -> dict[str, int]:
    if parameters is None:
        return {}
    taken = {zone: len(parameters.network.interface_endpoints) for zone in parameters.network.subnets}
    for source in parameters.capacity.values():
        taken[source.zone] = taken.get(source.zone, 0) + source.nodes * addresses_per_node(
            source, instance_types()[source.instance_type]
        )
    return taken


def _counted(parameters: Parameters | None) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for source in parameters.capacity.values() if parameters else ():
        counted[source.instance_type, source.purchase.kind] += source.nodes
    return counted
