"""What is wrong with the addresses of a cluster's nodes and pods."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from paceline.catalog.eks import eks as eks_rules
from paceline.catalog.eks import has_interface_for_pods
from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.network import usable_addresses
from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.settings.eks import Eks
from stacks.validators.problems import problem

# where a VPC whose first block is in 10.0.0.0/8 can get a second one from. Source: Amazon VPC User Guide,
# vpc-cidr-blocks.html, CIDR block association restrictions
POD_RANGE = IPv4Network("100.64.0.0/10")


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's budget of addresses in its cluster."""
    settings = team.parameters.eks
    if settings is None:
        return
    sources = {name: source for name, source in team.parameters.capacity.items() if source.serves == "eks"}
    rows = {name: row for name, source in sources.items() if (row := instance_types().get(source.instance_type))}
    if settings.pods is None:
        yield from _pods_beside_nodes(team, settings, sources, rows, document)
    else:
        yield from _pods_apart(team, settings, sources, rows, document)


def _pods_apart(
    team: Team,
    settings: Eks,
    sources: dict[str, CapacitySource],
    rows: dict[str, InstanceType],
    document: Document,
) -> Iterator[Problem]:
    """Pods in a block of their own: the block, its subnets, and nodes that can have an interface there."""
    assert settings.pods is not None
    pods, path, rules = settings.pods, ("eks", "pods"), eks_rules()
    if not pods.cidr.subnet_of(POD_RANGE):
        hint = "AWS adds no other private range to a VPC"
        yield problem(document, (*path, "cidr"), f"{pods.cidr} lies outside {POD_RANGE}", f"choose one inside: {hint}")
    if pods.cidr.overlaps(team.parameters.network.cidr):
        reason = f"{pods.cidr} overlaps the VPC's first block {team.parameters.network.cidr}"
        yield problem(document, (*path, "cidr"), reason, "choose another block")
    blocks = list(pods.subnets.items())
    for position, (zone, block) in enumerate(blocks):
        if not block.subnet_of(pods.cidr):
            reason = f"{block} lies outside {pods.cidr}"
            yield problem(document, (*path, "subnets", zone), reason, "choose a block inside eks.pods.cidr")
        if zone not in team.parameters.network.subnets:
            hint = nearest(zone, list(team.parameters.network.subnets))
            yield problem(document, (*path, "subnets", zone), f"{zone} is not a zone of network.subnets", hint)
        for other, another in blocks[:position]:
            if block.overlaps(another):
                reason = f"{block} overlaps {another} of {other}"
                yield problem(document, (*path, "subnets", zone), reason, "move one of the two")
    used = {source.zone for source in sources.values()} | set(settings.system_nodes.zones)
    if missing := sorted(used - pods.subnets.keys()):
        reason = f"nodes in {', '.join(missing)} would have no addresses for pods"
        yield problem(document, (*path, "subnets"), reason, f"add a block for {', '.join(missing)}")
    for name, row in rows.items():
        if not has_interface_for_pods(row):
            reason = f"network card 0 of {row.instance_type} has no room for an interface of pods, or nobody knows"
            hint = "leave out eks.pods and make network.subnets larger"
            yield problem(document, ("capacity", name, "instance_type"), reason, hint)
    for zone, block in blocks:
        wanted = _pod_addresses(settings, sources, zone) + _interfaces(settings, sources, zone)
        if wanted > (there := usable_addresses(block)):
            reason = f"pods want {wanted} addresses ({rules.addresses_per_prefix} at a time), and {block} has {there}"
            hint = "make the subnet larger, or lower pods_per_node"
            yield problem(document, (*path, "subnets", zone), reason, hint)


def _pods_beside_nodes(
    team: Team,
    settings: Eks,
    sources: dict[str, CapacitySource],
    rows: dict[str, InstanceType],
    document: Document,
) -> Iterator[Problem]:
    """Pods, nodes, endpoints and the control plane in the same subnets."""
    for zone, block in team.parameters.network.subnets.items():
        pods = _pod_addresses(settings, sources, zone)
        nodes = _interfaces(settings, sources, zone, rows)
        others = len(team.parameters.network.interface_endpoints)
        if zone in settings.system_nodes.zones:
            others += eks_rules().control_plane_addresses
        if pods + nodes + others > (there := usable_addresses(block)):
            reason = f"{pods} addresses for pods, {nodes} for nodes and {others} for endpoints and control plane"
            hint = "make the subnet larger, lower pods_per_node, or give pods their own block: eks.pods"
            yield problem(document, ("network", "subnets", zone), f"{reason}, and {block} has {there}", hint)


def _pod_addresses(settings: Eks, sources: dict[str, CapacitySource], zone: str) -> int:
    nodes = sum(source.nodes for source in sources.values() if source.zone == zone)
    nodes += settings.system_nodes.max_nodes if zone in settings.system_nodes.zones else 0
    return nodes * eks_rules().pod_addresses(settings.pods_per_node)


def _interfaces(
    settings: Eks, sources: dict[str, CapacitySource], zone: str, rows: dict[str, InstanceType] | None = None
) -> int:
    """Addresses of the interfaces themselves: the largest layout of a type where it is known, else one per node."""
    total = settings.system_nodes.max_nodes if zone in settings.system_nodes.zones else 0
    for name, source in sources.items():
        if source.zone == zone:
            layouts = rows[name].layouts if rows and name in rows else None
            total += source.nodes * max((layout.min_private_ips for layout in (layouts or {}).values()), default=1)
    return total
