"""What is wrong with a team's Kubernetes cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from paceline.catalog.cluster_software import cluster_software
from paceline.catalog.eks import eks as eks_rules
from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.network import is_private
from paceline.catalog.versions import versions
from paceline.spec.documents import Document, Path_, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.settings.eks import Eks, Image
from stacks.validators.problems import problem


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
    yield from _releases(settings, document)
    yield from _zones(settings, document)
    yield from _services(team, settings, document)
    yield from _access(settings, document)
    yield from _addons(settings, document)
    yield from _system_nodes(settings, document)
    yield from _repair(settings, document)
    yield from _groups(settings, sources, document)
    yield from _software(team, settings, rows, document)


def _version(settings: Eks, document: Document) -> Iterator[Problem]:
    known = [row.version for row in versions().eks]
    if settings.version not in known:
        reason = f"EKS does not offer Kubernetes {settings.version}, or nobody has verified it"
        yield problem(document, ("eks", "version"), reason, f"choose one of {', '.join(known)}")


def _releases(settings: Eks, document: Document) -> Iterator[Problem]:
    known = [row.ami_type for row in versions().eks_images]
    for image, release in settings.releases.items():
        path = ("eks", "releases", image)
        if image not in known:
            yield problem(document, path, f"{image} is no type of image", nearest(image, known))
        if _minor(release) > _minor(settings.version):
            reason = f"{release} is newer than the control plane, {settings.version}"
            yield problem(document, path, reason, "raise eks.version first, or take a release of that version")


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def _zones(settings: Eks, document: Document) -> Iterator[Problem]:
    rules, path = eks_rules(), ("eks", "system_nodes", "zones")
    zones = settings.system_nodes.zones
    if len(set(zones)) < rules.min_control_plane_zones:
        reason = f"EKS wants subnets in {rules.min_control_plane_zones} zones, and there are {len(set(zones))}"
        yield problem(document, path, reason, "name another zone of network.subnets")
    for index, zone in enumerate(zones):
        if zone in rules.zones_without_control_plane:
            reason = f"EKS puts no control plane into {zone}"
            yield problem(document, (*path, index), reason, "choose another zone; accelerator nodes may stay there")


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
    needs = {"efa" for row in rows.values() if row.max_efa_interfaces} | {row.family for row in rows.values()}
    for name, row in table.items():
        if row.serves in needs and name not in software.install:
            reason = f"without {name} no pod can ask for the devices of {row.serves} nodes"
            yield problem(document, (*path, "install"), reason, f"add {name}")
