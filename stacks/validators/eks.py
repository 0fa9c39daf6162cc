"""What is wrong with a team's Kubernetes cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network

from paceline.catalog.cluster_software import cluster_software
from paceline.catalog.eks import eks as eks_rules
from paceline.catalog.eks import has_interface_for_pods
from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.network import is_private, usable_addresses
from paceline.catalog.versions import versions
from paceline.spec.documents import Document, Path_, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.settings.eks import Eks, Image
from stacks.validators.problems import problem

# where a VPC whose first block is in 10.0.0.0/8 can get a second one from. Source: Amazon VPC User Guide,
# vpc-cidr-blocks.html, CIDR block association restrictions
POD_RANGE = IPv4Network("100.64.0.0/10")


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's cluster, and of what serves it."""
    sources = {name: source for name, source in team.parameters.capacity.items() if source.serves == "eks"}
    settings = team.parameters.eks
    if settings is None:
        for name in sources:
            reason = "serves eks, and the team has no cluster"
            yield problem(document, ("capacity", name, "serves"), reason, "add the section `eks:`")
        return
    rows = {name: row for name, source in sources.items() if (row := instance_types().get(source.instance_type))}
    yield from _version(settings, document)
    yield from _zones(team, settings, document)
    yield from _services(team, settings, document)
    yield from _access(settings, document)
    yield from _addons(settings, document)
    yield from _system_nodes(settings, document)
    yield from _repair(settings, document)
    yield from _groups(settings, sources, document)
    yield from _software(team, settings, rows, document)
    if settings.pods is None:
        yield from _pods_beside_nodes(team, settings, sources, rows, document)
    else:
        yield from _pods_apart(team, settings, sources, rows, document)


def _version(settings: Eks, document: Document) -> Iterator[Problem]:
    known = [row.version for row in versions().eks]
    if settings.version not in known:
        reason = f"EKS does not offer Kubernetes {settings.version}, or nobody has verified it"
        yield problem(document, ("eks", "version"), reason, f"choose one of {', '.join(known)}")


def _zones(team: Team, settings: Eks, document: Document) -> Iterator[Problem]:
    rules, path = eks_rules(), ("eks", "system_nodes", "zones")
    zones = settings.system_nodes.zones
    if len(set(zones)) < rules.min_control_plane_zones:
        reason = f"EKS wants subnets in {rules.min_control_plane_zones} zones, and there are {len(set(zones))}"
        yield problem(document, path, reason, "name another zone of network.subnets")
    for index, zone in enumerate(zones):
        if zone in rules.zones_without_control_plane:
            reason = f"EKS puts no control plane into {zone}"
            yield problem(document, (*path, index), reason, "choose another zone; accelerator nodes may stay there")
        if zone not in team.parameters.network.subnets:
            hint = nearest(zone, list(team.parameters.network.subnets))
            yield problem(document, (*path, index), f"{zone} is not a zone of network.subnets", hint)


def _services(team: Team, settings: Eks, document: Document) -> Iterator[Problem]:
    rules, network = eks_rules(), team.parameters.network
    path, cidr = ("eks", "service_cidr"), settings.service_cidr
    if not rules.largest_service_prefix <= cidr.prefixlen <= rules.smallest_service_prefix:
        reason = (
            f"EKS accepts /{rules.largest_service_prefix} to /{rules.smallest_service_prefix}, not /{cidr.prefixlen}"
        )
        yield problem(document, path, reason, "choose a size between the two")
    if not is_private(cidr):
        yield problem(document, path, f"{cidr} is not a private range", "leave it out: 172.20.0.0/16 is used then")
    for block in (network.cidr, *([settings.pods.cidr] if settings.pods else [])):
        if cidr.overlaps(block):
            reason = f"{cidr} overlaps {block} of the VPC: services would hide hosts"
            yield problem(document, path, reason, "choose a private range outside the VPC")
    missing = [name for name in rules.required_endpoints if name not in network.interface_endpoints]
    if missing:
        reason = f"nodes of the cluster reach {', '.join(missing)} only through an endpoint"
        yield problem(document, ("network", "interface_endpoints"), reason, f"add {', '.join(missing)}")


def _access(settings: Eks, document: Document) -> Iterator[Problem]:
    policies = list(eks_rules().access_policies)
    for arn, access in settings.access.items():
        path: Path_ = ("eks", "access", arn)
        if access.policy not in policies:
            reason = f"EKS has no access policy {access.policy}"
            yield problem(document, (*path, "policy"), reason, nearest(access.policy, policies))
        if access.policy == "AmazonEKSClusterAdminPolicy" and access.namespaces:
            reason = "AmazonEKSClusterAdminPolicy holds for the whole cluster"
            yield problem(document, (*path, "namespaces"), reason, "choose AmazonEKSAdminPolicy, or remove the line")
        if ":role/aws-service-role/" in arn:
            reason = "EKS manages the access of service-linked roles"
            yield problem(document, path, reason, "name a role that people or pipelines assume")


def _addons(settings: Eks, document: Document) -> Iterator[Problem]:
    known = list(eks_rules().addons)
    for name in settings.addon_versions:
        if name not in known:
            yield problem(document, ("eks", "addon_versions", name), f"{name} is not an add-on", nearest(name, known))


def _system_nodes(settings: Eks, document: Document) -> Iterator[Problem]:
    path, nodes = ("eks", "system_nodes"), settings.system_nodes
    if nodes.min_nodes > nodes.max_nodes:
        reason = f"{nodes.min_nodes} nodes at least, and {nodes.max_nodes} at most"
        yield problem(document, (*path, "min_nodes"), reason, "raise max_nodes, or lower min_nodes")
    if nodes.instance_type in instance_types() or re.match(r"(p|trn|inf|g)\d", nodes.instance_type):
        reason = f"{nodes.instance_type} has accelerators"
        yield problem(document, (*path, "instance_type"), reason, "choose a general type such as m7i.2xlarge")


def _repair(settings: Eks, document: Document) -> Iterator[Problem]:
    repair, path = settings.repair, ("eks", "repair")
    for count, percent in (("max_parallel", "max_parallel_percent"), ("stop_above", "stop_above_percent")):
        if getattr(repair, count) is not None and getattr(repair, percent) is not None:
            reason = f"{count} and {percent} are both given"
            yield problem(document, (*path, percent), reason, "give a count or a percentage")
    conditions = eks_rules().node_conditions
    seen = set()
    for index, override in enumerate(repair.overrides):
        where: Path_ = (*path, "overrides", index)
        if override.condition not in conditions:
            reason = f"no agent sets the condition {override.condition}"
            yield problem(document, (*where, "condition"), reason, nearest(override.condition, list(conditions)))
        elif override.reason not in (reasons := conditions[override.condition]):
            reason = f"{override.condition} has no reason {override.reason}"
            yield problem(document, (*where, "reason"), reason, nearest(override.reason, list(reasons)))
        if (override.condition, override.reason) in seen:
            reason = f"{override.reason} is overridden twice"
            yield problem(document, (*where, "reason"), reason, "remove one of the two")
        seen.add((override.condition, override.reason))
    if repair.overrides and not repair.enabled:
        reason = "overrides of a repair that is switched off"
        yield problem(document, (*path, "overrides"), reason, "remove them, or set enabled: true")


def _groups(settings: Eks, sources: dict[str, CapacitySource], document: Document) -> Iterator[Problem]:
    rules = eks_rules()
    for name, source in sources.items():
        if source.nodes > rules.max_nodes_per_group:
            reason = f"a node group of EKS has {rules.max_nodes_per_group} nodes at most, not {source.nodes}"
            yield problem(document, ("capacity", name, "nodes"), reason, "split the source")
    groups = len(sources) + len(settings.system_nodes.zones)
    if groups > rules.max_node_groups:
        reason = f"{groups} node groups, and a cluster has {rules.max_node_groups} at most"
        yield problem(document, ("capacity",), reason, "join sources of one type and reservation")


def _software(team: Team, settings: Eks, rows: dict[str, InstanceType], document: Document) -> Iterator[Problem]:
    table, repositories = cluster_software(), list(team.parameters.registry.repositories)
    software, path = settings.software, ("eks", "software")
    if software is None:
        return
    images: dict[str, Image | None] = {
        "tools": software.tools,
        "node_agent": software.node_agent,
        "controller": software.controller,
    }
    for field, image in images.items():
        if image is None:
            continue
        if image.repository not in repositories:
            reason = f"{image.repository} is not one of registry.repositories"
            yield problem(document, (*path, field, "repository"), reason, nearest(image.repository, repositories))
        if image.tag == "latest":
            reason = "`latest` is whatever was pushed last"
            yield problem(document, (*path, field, "tag"), reason, "write the tag of a version, or its digest")
    for index, name in enumerate(software.install):
        if name not in table:
            yield problem(
                document, (*path, "install", index), f"{name} is not in the table", nearest(name, list(table))
            )
        elif not table[name].is_verified:
            reason = f"nobody has verified a version of {name}"
            hint = "write version and source into cluster_software.yaml, or leave it out"
            yield problem(document, (*path, "install", index), reason, hint)
    if repeated := sorted({name for name in software.install if software.install.count(name) > 1}):
        yield problem(document, (*path, "install"), f"{', '.join(repeated)} is named twice", "name it once")
    needs = {"efa" for row in rows.values() if row.max_efa_interfaces} | {row.family for row in rows.values()}
    for name, row in table.items():
        if row.serves in needs and name not in software.install:
            reason = f"without {name} no pod can ask for the devices of {row.serves} nodes"
            yield problem(document, (*path, "install"), reason, f"add {name}")


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
