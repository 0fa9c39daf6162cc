"""What Amazon EKS accepts: zones, quotas, access policies, add-ons, repairs (eks.yaml)."""

from __future__ import annotations

from functools import cache

from paceline.catalog.instance_types import InstanceType
from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class EksRules(Record):
    """The rules of EKS; the fields are explained in the table."""

    sources: dict[str, str]
    zones_without_control_plane: tuple[str, ...]
    min_control_plane_zones: int
    control_plane_addresses: int
    max_node_groups: int
    max_nodes_per_group: int
    required_endpoints: tuple[str, ...]
    addresses_per_prefix: int
    max_pods_per_node: int
    largest_service_prefix: int
    smallest_service_prefix: int
    access_policies: tuple[str, ...]
    addons: tuple[str, ...]
    node_conditions: dict[str, tuple[str, ...]]

    def pod_addresses(self, pods: int) -> int:
        """Addresses that a node with `pods` pods takes: whole prefixes, one of them kept warm for the next pod."""
        prefixes = -(-pods // self.addresses_per_prefix) + 1
        return prefixes * self.addresses_per_prefix


@cache
def eks() -> EksRules:
    """The rules of eks.yaml."""
    return EksRules.model_validate(read_table("eks"))


def has_interface_for_pods(row: InstanceType) -> bool | None:
    """Whether network card 0 has room for the interface that custom networking gives to pods; None: unknown.

    The VPC CNI attaches interfaces to card 0 only, and with custom networking the primary one carries no pods.
    """
    if row.max_enis_per_card is None or not row.layouts:
        return None
    return all(
        sum(interface.card == 0 for interface in layout.interfaces) < row.max_enis_per_card
        for layout in row.layouts.values()
    )
