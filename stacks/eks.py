"""A team's Kubernetes cluster, without accelerators: those come with the capacity stacks."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from paceline.catalog.instance_types import instance_type
from paceline.spec.names import (
    PARAMETER_EKS_CLUSTER,
    PARAMETER_EKS_MIRROR_PROJECT,
    PARAMETER_EKS_NODE_ROLE,
    PARAMETER_EKS_SOFTWARE_PROJECT,
    PARAMETER_METRICS_ENDPOINT,
    parameter_path,
)
from paceline_constructs.capacity.capacity_source import CapacitySource
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
from stacks.settings import Team
from stacks.settings.eks import Eks, Image, Repair, Software
from stacks.team_stack import TeamStack, log_retention


class EksStack(TeamStack):
    """`cluster`, `node_role` and `security_groups` are what nodes of other stacks need; `add_nodes` adds them."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team, foundation: FoundationStack) -> None:
        super().__init__(scope, construct_id, team=team, description="Kubernetes cluster")
        settings = team.parameters.eks
        assert settings is not None  # the stage makes no stack without the section
        self._settings, self._foundation = settings, foundation
        self.cluster = Cluster(
            self,
            "Cluster",
            props=ClusterProps(
                name=f"paceline-{team.name}",
                version=settings.version,
                extended_support=settings.extended_support,
                control_plane_tier=settings.control_plane_tier,
                service_cidr=settings.service_cidr,
                vpc=foundation.network.vpc,
                subnets=self._system_subnets(),
                encryption_key=foundation.key,
                log_retention=log_retention(self._settings.log_days),
                removal_policy=self.removal_policy,
            ),
        )
        self.cluster_name, self.cluster_arn = self.cluster.cluster_name, self.cluster.cluster_arn
        self.security_groups: tuple[ec2.ISecurityGroup, ...] = (self.cluster.security_group,)
        self.node_role = NodeRole(self, "NodeRole")
        foundation.sessions.grant_logging(self.node_role)
        for arn, access in settings.access.items():
            self.cluster.grant_access(
                arn.partition(":role/")[2], principal_arn=arn, policy=access.policy, namespaces=access.namespaces
            )
        self._add_nodes_and_addons(settings)
        self.software = self._software(settings.software) if settings.software else None

        self.publish(PARAMETER_EKS_CLUSTER, self.cluster_name)
        self.publish(PARAMETER_EKS_NODE_ROLE, self.node_role.role_arn)
        if self.software:
            self.publish(PARAMETER_EKS_MIRROR_PROJECT, self.software.mirror.project.project_name)
            self.publish(PARAMETER_EKS_SOFTWARE_PROJECT, self.software.project.project_name)

    def add_nodes(self, scope: Construct, name: str, zone_id: str, source: CapacitySource) -> AcceleratorNodeGroup:
        """Make the nodes of `source`, called `name`, nodes of the cluster. The group is a part of `scope`."""
        return AcceleratorNodeGroup(
            scope,
            "Nodes",
            props=AcceleratorNodeGroupProps(
                cluster_name=self.cluster_name,
                node_role=self.node_role,
                source=source,
                team=self.team.name,
                name=name,
                zone_id=zone_id,
                max_unavailable=self._settings.max_unavailable,
                repair=_repair(self._settings.repair),
                releases=self._settings.releases,
            ),
        )

    def _system_subnets(self) -> list[ec2.ISubnet]:
        return [self._foundation.network.subnets[zone] for zone in self._settings.system_nodes.zones]

    def _add_nodes_and_addons(self, settings: Eks) -> None:
        network, nodes = self._foundation.network, settings.system_nodes
        pods = None
        if settings.pods is not None:
            assert network.endpoint_security_group is not None  # a validator asks for endpoints
            pods = PodNetwork(
                self,
                "PodNetwork",
                props=PodNetworkProps(
                    vpc=network.vpc,
                    cidr=settings.pods.cidr,
                    blocks=settings.pods.subnets,
                    neighbours=network.subnets,
                    endpoints=network.endpoint_security_group,
                ),
            )
        addons = Addons(
            self,
            "Addons",
            props=AddonsProps(
                cluster=self.cluster,
                versions=settings.addon_versions,
                pod_subnet_ids=pods.subnet_ids if pods else {},
            ),
        )
        groups = [
            SystemNodeGroup(
                self,
                f"SystemNodes-{zone}",
                props=SystemNodeGroupProps(
                    cluster=self.cluster,
                    node_role=self.node_role,
                    zone_id=zone,
                    subnet=network.subnets[zone],
                    instance_type=nodes.instance_type,
                    min_nodes=nodes.min_nodes,
                    max_nodes=nodes.max_nodes,
                    volume_gib=nodes.volume_gib,
                    encryption_key=self._foundation.key,
                    releases=settings.releases,
                ),
            )
            for zone in nodes.zones
        ]
        for group in groups:
            group.node.add_dependency(*addons.before_nodes)
        addons.after_nodes(*groups)

    def _software(self, settings: Software) -> ClusterSoftware:
        sources = self.team.parameters.capacity.values()
        prefix = f"paceline/{self.team.name}"
        return ClusterSoftware(
            self,
            "Software",
            props=ClusterSoftwareProps(
                cluster=self.cluster,
                vpc=self._foundation.network.vpc,
                subnets=self._system_subnets(),
                encryption_key=self._foundation.key,
                software=SoftwareProps(
                    team=self.team.name,
                    repository_prefix=prefix,
                    install=settings.install,
                    types=[instance_type(source.instance_type) for source in sources if source.serves == "eks"],
                    node_agent=_image(settings.node_agent),
                    controller=_image(settings.controller),
                ),
                # by name: the address of a referenced repository is taken apart, which a weak reference cannot be
                tools=ecr.Repository.from_repository_name(self, "Tools", f"{prefix}/{settings.tools.repository}"),
                tools_tag=settings.tools.tag,
                metrics_parameter=parameter_path(self.team.name, PARAMETER_METRICS_ENDPOINT)
                if "prometheus-agent" in settings.install
                else None,
                keep_images=self.team.parameters.registry.keep_images,
                log_retention=log_retention(self._settings.log_days),
                removal_policy=self.removal_policy,
            ),
        )


def _image(image: Image | None) -> OwnImage | None:
    return OwnImage(repository=image.repository, tag=image.tag) if image else None


def _repair(repair: Repair) -> RepairProps:
    return RepairProps(
        enabled=repair.enabled,
        max_parallel=repair.max_parallel,
        max_parallel_percent=repair.max_parallel_percent,
        stop_above=repair.stop_above,
        stop_above_percent=repair.stop_above_percent,
        overrides=tuple(
            RepairOverride(
                condition=override.condition,
                reason=override.reason,
                wait_minutes=override.wait_minutes,
                action=override.action,
            )
            for override in repair.overrides
        ),
    )
