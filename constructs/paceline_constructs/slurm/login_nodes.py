"""Nodes that people work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CfnTag, Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_pcs as pcs
from constructs import Construct

from paceline_constructs.capacity.launch_settings import guarded_metadata, root_volume
from paceline_constructs.guardrails.replaceable_name import replaceable_name
from paceline_constructs.slurm.cluster import SlurmCluster


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginNodesProps:
    """`image_id` is an AMI made for PCS; `security_groups` come beside the cluster's own for nodes. `tags` go to
    instances and volumes, where cost reports find them.
    """

    cluster: SlurmCluster
    instance_profile_arn: str
    image_id: str
    instance_type: str
    nodes: int
    volume_gib: int
    root_device: str
    subnet: ec2.ISubnet
    security_groups: tuple[ec2.ISecurityGroup, ...]
    encryption_key: kms.IKey
    user_data: str
    tags: Mapping[str, str]


class LoginNodes(Construct):
    """A fixed number of nodes without a queue. The way in is Session Manager: no key pair, no port 22, no address."""

    def __init__(self, scope: Construct, construct_id: str, *, props: LoginNodesProps) -> None:
        super().__init__(scope, construct_id)
        template = self._launch_template(props)
        pcs.CfnComputeNodeGroup(
            self,
            "Group",
            name=replaceable_name("login", props.instance_type),
            cluster_id=props.cluster.cluster_id,
            ami_id=props.image_id,
            iam_instance_profile_arn=props.instance_profile_arn,
            instance_configs=[pcs.CfnComputeNodeGroup.InstanceConfigProperty(instance_type=props.instance_type)],
            subnet_ids=[props.subnet.subnet_id],
            purchase_option="ONDEMAND",
            scaling_configuration=pcs.CfnComputeNodeGroup.ScalingConfigurationProperty(
                min_instance_count=props.nodes, max_instance_count=props.nodes
            ),
            custom_launch_template=pcs.CfnComputeNodeGroup.CustomLaunchTemplateProperty(
                template_id=template.ref, version=template.attr_latest_version_number
            ),
        )

    def _launch_template(self, props: LoginNodesProps) -> ec2.CfnLaunchTemplate:
        groups = (props.cluster.nodes, *props.security_groups)
        return ec2.CfnLaunchTemplate(
            self,
            "LaunchTemplate",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                security_group_ids=[group.security_group_id for group in groups],
                metadata_options=guarded_metadata(),
                block_device_mappings=[root_volume(props.volume_gib, props.encryption_key, device=props.root_device)],
                tag_specifications=[
                    ec2.CfnLaunchTemplate.TagSpecificationProperty(
                        resource_type=kind, tags=[CfnTag(key=key, value=value) for key, value in props.tags.items()]
                    )
                    for kind in ("instance", "volume")
                ],
                user_data=Fn.base64(props.user_data),
            ),
        )
