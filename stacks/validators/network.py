"""What is wrong with addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from paceline.catalog.network import usable_addresses
from paceline.catalog.zones import is_zone_of, zone_prefix
from paceline.spec.base import Record
from paceline.spec.documents import Document, Path_, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's network."""
    location, network = team.parameters.location, team.parameters.network
    for zone, block in network.subnets.items():
        path: Path_ = ("network", "subnets", zone)
        if not is_zone_of(zone, location.region):
            hint = f"the ids of its zones start with {zone_prefix(location.region)}-"
            yield problem(document, path, f"{zone} is not in {location.region}", hint)
        if not block.subnet_of(network.cidr):
            reason = f"{block} lies outside the VPC's {network.cidr}"
            yield problem(document, path, reason, "choose a block inside network.cidr")
        if usable_addresses(block) <= len(network.interface_endpoints):
            reason = f"{usable_addresses(block)} usable addresses, and {len(network.interface_endpoints)} endpoints"
            yield problem(document, path, f"{reason} need one each; none is left for nodes", "make the subnet larger")
    for path, zone in _zones(team.parameters):
        if zone not in network.subnets:
            hint = nearest(zone, list(network.subnets))
            yield problem(document, path, f"{zone} is not a zone of network.subnets", hint)
    for (one, block), (other, another) in combinations(network.subnets.items(), 2):
        if block.overlaps(another):
            path = ("network", "subnets", other)
            yield problem(document, path, f"{another} overlaps {block} of {one}", "move one of the two")


def _zones(part: object, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Where the parameters name a zone: every field `zone`, and each item of every `zones`."""
    items = part.items() if isinstance(part, dict) else part if isinstance(part, Record) else ()
    for name, value in items:
        if name == "zone" and isinstance(value, str):
            yield (*path, name), value
        elif name == "zones":
            yield from (((*path, name, index), zone) for index, zone in enumerate(value))
        else:
            yield from _zones(value, (*path, name))


def overlaps(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """Two VPCs with the same addresses can never be connected."""
    for one, other in combinations(teams, 2):
        first, second = one.parameters, other.parameters
        if first.location == second.location and first.network.cidr.overlaps(second.network.cidr):
            yield problem(
                documents[other.name],
                ("network", "cidr"),
                f"{second.network.cidr} overlaps {first.network.cidr} of {one.name}",
                "give every team of an account and region its own block",
            )
