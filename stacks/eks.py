"""A team's Kubernetes cluster, without accelerators: those come with the capacity stacks."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline.catalog.instance_types import instance_type
from paceline.spec.names import (
    PARAMETER_EKS_CLUSTER,
    PARAMETER_EKS_NODE_ROLE,
    PARAMETER_EKS_SOFTWARE_PROJECT,
    PARAMETER_METRICS_ENDPOINT,
    parameter_path,
)
from paceline_constructs.eks.accelerator_node_group import (
    AcceleratorNodeGroup,
    AcceleratorNodeGroupProps,
    RepairOverride,
    RepairProps,
)
from paceline_constructs.eks.addons import Addons, AddonsProps
from paceline_constructs.eks.cluster import Cluster, ClusterProps
from paceline_constructs.eks.cluster_software import ClusterSoftware, ClusterSoftwareProps
from paceline_constructs.eks.node_role import NodeRole
from paceline_constructs.eks.pod_network import PodNetwork, PodNetworkProps
from paceline_constructs.eks.rendering import OwnImage, SoftwareProps
from paceline_constructs.eks.system_node_group import SystemNodeGroup, SystemNodeGroupProps
from stacks.foundation import FoundationStack
from stacks.registry import RegistryStack
from stacks.settings import Team
from stacks.settings.eks import Eks, Image, Repair, Software
from stacks.team_stack import RETENTION, TeamStack
