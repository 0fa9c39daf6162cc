"""Accelerator nodes of one type, bought in one way, in one subnet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aws_cdk import CfnTag, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline.catalog.instance_types import InstanceType, Interface, Layout
from paceline.catalog.purchases import PurchaseKind, purchases
from paceline_constructs.capacity.cluster_placement_group import ClusterPlacementGroup
from paceline_constructs.capacity.launch_settings import AMAZON_LINUX_ROOT, guarded_metadata, root_volume
from paceline_constructs.network.efa_security_group import EfaSecurityGroup

_TAGGED = ("instance", "volume", "network-interface")


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacitySourceProps:
    """What to launch, and where it comes from.

    `layout` is the wiring of the network cards, one of the type's. `zone_id` is the zone of `subnet`.
    `security_groups` are carried, beside `efa`, by the interfaces that have an address: those of the orchestrator let a
    node reach AWS and its scheduler. `reservation` is the id of what was bought beforehand, and `placement_group` the
    group that an attached reservation was created in; a purchase of another kind has neither. `user_data` is MIME text
    without references, which the orchestrator extends; without it a node runs what its image runs. `tags` go to
    instances, volumes and interfaces, where cost reports find them. Without `ends` a reservation made here goes on, and
    costs, until it is deleted; without `security_groups` nodes reach each other by EFA's group and nothing else.
    """

    instance_type: InstanceType
    layout: Layout
    zone_id: str
    subnet: ec2.ISubnet
    efa: EfaSecurityGroup
    security_groups: Sequence[ec2.ISecurityGroup] = ()
    purchase: PurchaseKind
    reservation: str | None = None
    placement_group: str | None = None
    ends: datetime | None = None
    nodes: int
    min_nodes: int = 0
    spares: int = 0
    volume_gib: int
    root_device: str = AMAZON_LINUX_ROOT
    encryption_key: kms.IKey
    user_data: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class CapacitySource(Construct):
    """A launch template that fits the purchase, and for an `odcr` the reservation itself.

    The template names neither a subnet nor an instance profile nor an image: node groups of EKS and PCS bring their own
    and refuse one that does. A purchase that is not placed beforehand gets a cluster placement group of its own; a
    reservation is created inside it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: CapacitySourceProps) -> None:
        super().__init__(scope, construct_id)
        rules = purchases()[props.purchase]
        self.hardware = props.instance_type
        self.instance_type = props.instance_type.instance_type
        self.nodes, self.min_nodes, self.spares = props.nodes, props.min_nodes, props.spares
        self.subnet = props.subnet
        self.purchase_kind = props.purchase
        self.eks_capacity_type = rules.eks
        self.pcs_purchase_option = rules.pcs
        self.ends = props.ends

        group, reservation = props.placement_group, props.reservation
        if rules.placement == "own":
            group = ClusterPlacementGroup(self, "Placement").placement_group_name
        if props.purchase == "odcr":
            assert group is not None
            reservation = self._reserve(props, group)
        self.reservation = reservation
        self.launch_template = ec2.CfnLaunchTemplate(
            self,
            "LaunchTemplate",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                instance_type=self.instance_type,
                network_interfaces=[self._interface(props, interface) for interface in props.layout.interfaces],
                placement=ec2.CfnLaunchTemplate.PlacementProperty(group_name=group) if group else None,
                capacity_reservation_specification=_target(reservation) if reservation else None,
                instance_market_options=ec2.CfnLaunchTemplate.InstanceMarketOptionsProperty(market_type=rules.market)
                if rules.market
                else None,
                metadata_options=guarded_metadata(),
                block_device_mappings=[root_volume(props.volume_gib, props.encryption_key, device=props.root_device)],
                tag_specifications=[
                    ec2.CfnLaunchTemplate.TagSpecificationProperty(resource_type=kind, tags=_tags(props.tags))
                    for kind in _TAGGED
                ]
                if props.tags
                else None,
                user_data=Fn.base64(props.user_data) if props.user_data else None,
            ),
        )

    def _reserve(self, props: CapacitySourceProps, group: str) -> str:
        limit = props.ends
        reservation = ec2.CfnCapacityReservation(
            self,
            "Reservation",
            instance_type=self.instance_type,
            instance_platform="Linux/UNIX",
            instance_count=props.nodes,
            availability_zone_id=props.zone_id,
            instance_match_criteria="targeted",  # an instance that does not name it never takes it
            end_date_type="limited" if limit else "unlimited",
            end_date=limit.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if limit else None,
            placement_group_arn=Stack.of(self).format_arn(
                service="ec2", resource="placement-group", resource_name=group
            ),
            tag_specifications=[
                ec2.CfnCapacityReservation.TagSpecificationProperty(
                    resource_type="capacity-reservation", tags=_tags(props.tags)
                )
            ]
            if props.tags
            else None,
        )
        return reservation.attr_id

    @staticmethod
    def _interface(props: CapacitySourceProps, interface: Interface) -> ec2.CfnLaunchTemplate.NetworkInterfaceProperty:
        addressed = interface.kind == "ena"
        groups: list[ec2.ISecurityGroup] = [props.efa, *(props.security_groups if addressed else ())]
        return ec2.CfnLaunchTemplate.NetworkInterfaceProperty(
            network_card_index=interface.card,
            device_index=interface.device,
            interface_type="interface" if addressed else interface.kind,
            groups=[group.security_group_id for group in groups],
            delete_on_termination=True,
        )


def _target(reservation: str) -> ec2.CfnLaunchTemplate.CapacityReservationSpecificationProperty:
    return ec2.CfnLaunchTemplate.CapacityReservationSpecificationProperty(
        capacity_reservation_target=ec2.CfnLaunchTemplate.CapacityReservationTargetProperty(
            capacity_reservation_id=reservation
        )
    )


def _tags(tags: Mapping[str, str]) -> list[CfnTag]:
    return [CfnTag(key=key, value=value) for key, value in tags.items()]
