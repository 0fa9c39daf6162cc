"""Nodes that run jobs."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_pcs as pcs
from constructs import Construct

from paceline_constructs.capacity.capacity_source import CapacitySource
from paceline_constructs.guardrails.replaceable_name import replaceable_name
from paceline_constructs.slurm.queue import Queue


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeNodeGroupProps:
    """`name` (20 characters at most) is the queue's, and what the group's begins with. `image_id` is an AMI for PCS."""

    name: str
    cluster_id: str
    instance_profile_arn: str
    image_id: str
    source: CapacitySource


class ComputeNodeGroup(Construct):
    """A group of nodes and the queue in front of it.

    A new version of the launch template replaces the nodes as they become idle. The instance type cannot change: a
    group of another type comes beside the old one, takes over the queue, and then the old one goes.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ComputeNodeGroupProps) -> None:
        super().__init__(scope, construct_id)
        source = props.source
        group = pcs.CfnComputeNodeGroup(
            self,
            "Group",
            name=replaceable_name(props.name, source.instance_type),
            cluster_id=props.cluster_id,
            ami_id=props.image_id,
            iam_instance_profile_arn=props.instance_profile_arn,
            instance_configs=[pcs.CfnComputeNodeGroup.InstanceConfigProperty(instance_type=source.instance_type)],
            subnet_ids=[source.subnet.subnet_id],
            purchase_option=source.pcs_purchase_option,
            scaling_configuration=pcs.CfnComputeNodeGroup.ScalingConfigurationProperty(
                min_instance_count=source.min_nodes, max_instance_count=source.nodes
            ),
            custom_launch_template=pcs.CfnComputeNodeGroup.CustomLaunchTemplateProperty(
                template_id=source.launch_template.ref,
                version=source.launch_template.attr_latest_version_number,
            ),
        )
        self.queue = Queue(self, "Queue", cluster_id=props.cluster_id, name=props.name, node_group=group)
