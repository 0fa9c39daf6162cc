"""Whether the subnets have an address for everything that needs one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.network import prefix_for, usable_addresses
from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Subnets that are too small for their endpoints and nodes. Pods have their own block (validators/eks.py)."""
    network = team.parameters.network
    nodes: dict[str, int] = defaultdict(int)
    for source in team.parameters.capacity.values():
        if (row := instance_types().get(source.instance_type)) is not None:
            nodes[source.zone] += source.nodes * addresses_per_node(source, row)
    endpoints = len(network.interface_endpoints)
    for zone, needed in nodes.items():
        block = network.subnets.get(zone)
        if block is None or not endpoints < usable_addresses(block) < endpoints + needed:
            continue
        reason = (
            f"{usable_addresses(block)} usable addresses; {endpoints} endpoints and the nodes of the zone need"
            f" {endpoints + needed}"
        )
        yield problem(
            document,
            ("network", "subnets", zone),
            reason,
            f"make the subnet a /{prefix_for(endpoints + needed)} or larger",
        )


def addresses_per_node(source: CapacitySource, row: InstanceType) -> int:
    """What a node takes from its subnet. HyperPod wires the cards itself, each with an address."""
    if source.serves == "hyperpod":
        return (row.max_efa_interfaces or 0) + (0 if row.efa_on_card_0 else 1)
    layout = row.layout(source.layout)
    return layout.min_private_ips if layout else 0
