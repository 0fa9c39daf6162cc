"""What a team takes from its subnets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from paceline.catalog.eks import eks as eks_rules
from paceline.catalog.instance_types import instance_types
from paceline.catalog.network import usable_addresses
from stacks.settings import Parameters
from stacks.settings.eks import Eks
from stacks.validators.addresses import addresses_per_node


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """IP addresses of one subnet, usable (None: no subnet) and taken by endpoints, control plane, nodes and pods.

    `subnet` is its zone id, followed by `(pods)` where pods have subnets of their own.
    """

    subnet: str
    usable_before: int | None
    taken_before: int
    usable_after: int | None
    taken_after: int


def compare(old: Parameters | None, new: Parameters) -> tuple[Addresses, ...]:
    """Every subnet that changes, or whose use does. Taken is what there can be at most."""
    before, after = _usable(old), _usable(new)
    taken_before, taken_after = _taken(old), _taken(new)
    found = (
        Addresses(
            subnet=subnet,
            usable_before=before.get(subnet),
            taken_before=taken_before[subnet],
            usable_after=after.get(subnet),
            taken_after=taken_after[subnet],
        )
        for subnet in dict.fromkeys([*before, *after])
    )
    return tuple(a for a in found if (a.usable_before, a.taken_before) != (a.usable_after, a.taken_after))


def _usable(parameters: Parameters | None) -> dict[str, int]:
    if parameters is None:
        return {}
    blocks = dict(parameters.network.subnets)
    if parameters.eks and parameters.eks.pods:
        blocks |= {_pods(zone): block for zone, block in parameters.eks.pods.subnets.items()}
    return {subnet: usable_addresses(block) for subnet, block in blocks.items()}


def _taken(parameters: Parameters | None) -> Counter[str]:
    taken: Counter[str] = Counter()
    if parameters is None:
        return taken
    for zone in parameters.network.subnets:
        taken[zone] += len(parameters.network.interface_endpoints)
    for source in parameters.capacity.values():
        taken[source.zone] += source.nodes * addresses_per_node(source, instance_types()[source.instance_type])
    if parameters.eks:
        taken.update(_of_cluster(parameters, parameters.eks))
    if parameters.slurm:
        taken[parameters.slurm.zone] += 1  # the controller's interface
        taken[parameters.slurm.login.zone] += parameters.slurm.login.nodes
    for group in parameters.hyperpod.groups.values() if parameters.hyperpod else ():
        taken[group.zone] += group.nodes
    return taken


def _of_cluster(parameters: Parameters, cluster: Eks) -> Counter[str]:
    """The control plane, nodes without accelerators, and pods: in whole prefixes, beside the nodes or apart."""
    taken: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for zone in cluster.system_nodes.zones:
        nodes[zone] += cluster.system_nodes.max_nodes
        taken[zone] += eks_rules().control_plane_addresses + cluster.system_nodes.max_nodes
    for source in parameters.capacity.values():
        nodes[source.zone] += source.nodes if source.serves == "eks" else 0
    for zone, count in nodes.items():
        taken[_pods(zone) if cluster.pods else zone] += count * eks_rules().pod_addresses(cluster.pods_per_node)
    return taken


def _pods(zone: str) -> str:
    return f"{zone} (pods)"
