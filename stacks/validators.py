"""What is wrong with parameters that are each right by themselves. Every problem names the line to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from paceline.catalog.network import usable_addresses
from paceline.catalog.zones import is_zone_of, zone_prefix
from paceline.spec.documents import Document, Path_, dotted, nearest
from paceline.spec.errors import Problem
from stacks.settings import Parameters, Team


def contradictions(parameters: Parameters, document: Document) -> Iterator[Problem]:
    """Problems between the sections of one team."""
    location, network = parameters.location, parameters.network

    def problem(path: Path_, reason: str, hint: str) -> Problem:
        return Problem(message=f"{document.origin(path)}: {dotted(path)}: {reason}", hint=hint)

    for zone, block in network.subnets.items():
        path: Path_ = ("network", "subnets", zone)
        if not is_zone_of(zone, location.region):
            hint = f"the ids of its zones start with {zone_prefix(location.region)}-"
            yield problem(path, f"{zone} is not in {location.region}", hint)
        if not block.subnet_of(network.cidr):
            yield problem(path, f"{block} lies outside the VPC's {network.cidr}", "choose a block inside network.cidr")
        if usable_addresses(block) <= len(network.interface_endpoints):
            reason = f"{usable_addresses(block)} usable addresses, and {len(network.interface_endpoints)} endpoints"
            yield problem(path, f"{reason} need one each; none is left for nodes", "make the subnet larger")
    for (one, block), (other, another) in combinations(network.subnets.items(), 2):
        if block.overlaps(another):
            yield problem(("network", "subnets", other), f"{another} overlaps {block} of {one}", "move one of the two")
    if (zone := parameters.storage.file_system.zone) not in network.subnets:
        path = ("storage", "file_system", "zone")
        yield problem(path, f"{zone} is not a zone of network.subnets", nearest(zone, list(network.subnets)))


def overlaps(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """Two VPCs with the same addresses can never be connected."""
    for one, other in combinations(teams, 2):
        first, second = one.parameters, other.parameters
        if first.location == second.location and first.network.cidr.overlaps(second.network.cidr):
            origin = documents[other.name].origin(("network", "cidr"))
            yield Problem(
                message=f"{origin}: network.cidr: {second.network.cidr} overlaps {first.network.cidr} of {one.name}",
                hint="give every team of an account and region its own block",
            )
