"""Accelerator nodes of a capacity source, as nodes of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from constructs import Construct

from paceline.catalog.versions import eks_image_type
from paceline.spec.names import (
    LABEL_ACCELERATOR,
    LABEL_CAPACITY,
    LABEL_ROLE,
    LABEL_TEAM,
    LABEL_ZONE_ID,
    ROLE_ACCELERATOR,
    TAINTS,
)
from paceline_constructs.capacity.capacity_source import CapacitySource


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairOverride:
    """What EKS does about one fault (condition and reason of the node monitoring agent) instead of its default."""

    condition: str
    reason: str
    wait_minutes: int
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairProps:
    """Limits are a count or a percentage, never both. Without any EKS repairs nodes of a small group one by one, and
    none of a group of more than five while over 20 % of it are unhealthy."""

    enabled: bool = True
    max_parallel: int | None = None
    max_parallel_percent: int | None = None
    stop_above: int | None = None
    stop_above_percent: int | None = None
    overrides: tuple[RepairOverride, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceleratorNodeGroupProps:
    """`name` is the source's name, `zone_id` its zone. `max_unavailable` nodes are updated at once. `releases` are of
    EKS's images by image type; without one EKS takes the newest."""

    cluster_name: str
    node_role: iam.IRole
    source: CapacitySource
    team: str
    name: str
    zone_id: str
    max_unavailable: int
    repair: RepairProps
    releases: Mapping[str, str]


class AcceleratorNodeGroup(Construct):
    """A managed node group that takes its nodes from `source` and keeps everything but jobs away by a taint.

    The group has no name of its own: a change of what cannot change makes another group before the old one goes. Its
    launch template holds the instance type, and the image is EKS's for the accelerator. It begins with the source's
    `min_nodes`; whoever scales it further is set back when the source's numbers change. Nodes of a Capacity Block start
    no earlier than the block, and EKS scales such a group down before the end.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: AcceleratorNodeGroupProps) -> None:
        super().__init__(scope, construct_id)
        source = props.source
        family = source.hardware.family
        key, value = TAINTS[family]
        template = source.launch_template
        image_type = eks_image_type(family, source.hardware.cpu_arch or "x86_64")
        group = eks.CfnNodegroup(
            self,
            "NodeGroup",
            cluster_name=props.cluster_name,
            node_role=props.node_role.role_arn,
            subnets=[source.subnet.subnet_id],
            ami_type=image_type,
            release_version=props.releases.get(image_type or ""),
            capacity_type=source.eks_capacity_type,
            launch_template=eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
                id=template.ref, version=template.attr_latest_version_number
            ),
            labels={
                LABEL_TEAM: props.team,
                LABEL_ROLE: ROLE_ACCELERATOR,
                LABEL_ACCELERATOR: family,
                LABEL_CAPACITY: props.name,
                LABEL_ZONE_ID: props.zone_id,
            },
            taints=[eks.CfnNodegroup.TaintProperty(key=key, value=value, effect="NO_SCHEDULE")],
            scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
                min_size=source.min_nodes, max_size=source.nodes, desired_size=source.min_nodes
            ),
            update_config=eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=props.max_unavailable),
            node_repair_config=_repair(props.repair),
        )
        self.node_group_arn = group.attr_arn


def _repair(props: RepairProps) -> eks.CfnNodegroup.NodeRepairConfigProperty:
    return eks.CfnNodegroup.NodeRepairConfigProperty(
        enabled=props.enabled,
        max_parallel_nodes_repaired_count=props.max_parallel,
        max_parallel_nodes_repaired_percentage=props.max_parallel_percent,
        max_unhealthy_node_threshold_count=props.stop_above,
        max_unhealthy_node_threshold_percentage=props.stop_above_percent,
        node_repair_config_overrides=[
            eks.CfnNodegroup.NodeRepairConfigOverridesProperty(
                node_monitoring_condition=override.condition,
                node_unhealthy_reason=override.reason,
                min_repair_wait_time_mins=override.wait_minutes,
                repair_action=override.action,
            )
            for override in props.overrides
        ]
        or None,
    )
