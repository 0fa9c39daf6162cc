"""Nodes without accelerators, for what the cluster itself runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline.catalog.versions import system_image_type
from paceline.spec.names import LABEL_ROLE, LABEL_ZONE_ID, ROLE_SYSTEM
from paceline_constructs.capacity.launch_settings import guarded_metadata, root_volume
from paceline_constructs.eks.cluster import Cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemNodeGroupProps:
    """`subnet` lies in the zone `zone_id`. `encryption_key` must let Auto Scaling use it. `releases` are of EKS's
    images by image type; without one EKS takes the newest."""

    cluster: Cluster
    node_role: iam.IRole
    zone_id: str
    subnet: ec2.ISubnet
    instance_type: str
    min_nodes: int
    max_nodes: int
    volume_gib: int
    encryption_key: kms.IKey
    releases: Mapping[str, str]


class SystemNodeGroup(Construct):
    """A managed node group in one zone, so that each zone has its share and knows its pods' subnet.

    No taint: whatever tolerates none lands here.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: SystemNodeGroupProps) -> None:
        super().__init__(scope, construct_id)
        template = ec2.CfnLaunchTemplate(
            self,
            "LaunchTemplate",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                instance_type=props.instance_type,
                security_group_ids=[props.cluster.security_group.security_group_id],
                metadata_options=guarded_metadata(),
                block_device_mappings=[root_volume(props.volume_gib, props.encryption_key)],
            ),
        )
        image_type = system_image_type(props.instance_type)
        self.node_group = eks.CfnNodegroup(
            self,
            "NodeGroup",
            cluster_name=props.cluster.cluster_name,
            node_role=props.node_role.role_arn,
            subnets=[props.subnet.subnet_id],
            ami_type=image_type,
            release_version=props.releases.get(image_type or ""),
            launch_template=eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
                id=template.ref, version=template.attr_latest_version_number
            ),
            labels={LABEL_ROLE: ROLE_SYSTEM, LABEL_ZONE_ID: props.zone_id},
            scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
                min_size=props.min_nodes, max_size=props.max_nodes, desired_size=props.min_nodes
            ),
            update_config=eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=1),
            node_repair_config=eks.CfnNodegroup.NodeRepairConfigProperty(enabled=True),
        )
