"""A team's Slurm cluster: controller, login nodes and homes. Its accelerator nodes are in the capacity stacks."""

from __future__ import annotations

from typing import Literal

from constructs import Construct

from paceline.catalog.fsx import open_zfs
from paceline.catalog.instance_types import InstanceType
from paceline.catalog.slurm import image_kind, pcs
from paceline.spec.names import (
    PARAMETER_METRICS_ENDPOINT,
    PARAMETER_REPOSITORY_PREFIX,
    PARAMETER_SLURM_CLUSTER_ID,
    PARAMETER_SLURM_HOMES,
    PARAMETER_SLURM_LUSTRE,
    TAG_STACK,
    TAG_TEAM,
    parameter_path,
)
from paceline_constructs.capacity.capacity_source import CapacitySource
from paceline_constructs.slurm.cluster import SlurmCluster, SlurmClusterProps
from paceline_constructs.slurm.compute_node_group import ComputeNodeGroup, ComputeNodeGroupProps
from paceline_constructs.slurm.login_nodes import LoginNodes, LoginNodesProps
from paceline_constructs.slurm.node_role import NodeRole
from paceline_constructs.slurm.user_data import NodeProps, user_data
from paceline_constructs.storage.open_zfs_file_system import OpenZfsFileSystem, OpenZfsFileSystemProps
from stacks.foundation import FoundationStack
from stacks.matrix import driver_floor
from stacks.registry import RegistryStack
from stacks.settings import Team
from stacks.storage import StorageStack
from stacks.team_stack import TeamStack


class SlurmStack(TeamStack):
    """What capacity stacks need: `nodes`, the security group of every interface that has an address, `user_data` for an
    instance type, and `add_nodes`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: Team,
        foundation: FoundationStack,
        storage: StorageStack,
        registry: RegistryStack,
    ) -> None:
        super().__init__(scope, construct_id, team=team, description="the Slurm cluster")
        settings = team.parameters.slurm
        assert settings is not None  # the stage makes no stack without the section
        self._settings, self.root_device = settings, settings.root_device
        network = foundation.network
        cluster = SlurmCluster(
            self,
            "Cluster",
            props=SlurmClusterProps(
                name=team.name,
                version=settings.version,
                size=settings.size,
                ports=pcs().ports,
                vpc=network.vpc,
                zone_id=settings.zone,
                subnet=network.subnets[settings.zone],
                idle_seconds=settings.idle_seconds,
                settings=settings.settings,
                with_accounting=settings.accounting is not None,
                keep_days=settings.accounting.keep_days if settings.accounting else None,
                with_accounts=bool(settings.accounts),
            ),
        )
        homes = OpenZfsFileSystem(
            self,
            "Homes",
            props=OpenZfsFileSystemProps(
                rules=open_zfs(),
                vpc=network.vpc,
                cidr=str(team.parameters.network.cidr),
                subnet=network.subnets[settings.homes.zone],
                clients=cluster.nodes,
                encryption_key=foundation.key,
                size_gib=settings.homes.size_gib,
                mbps=settings.homes.mbps,
                highly_available=settings.homes.highly_available,
                backup_days=settings.homes.backup_days,
                removal_policy=self.removal_policy,
            ),
        )
        self.node_role = role = self._node_role(storage, registry, foundation)
        self.cluster_id, self.nodes = cluster.cluster_id, cluster.nodes
        self.instance_profile_arn = role.instance_profile_arn
        LoginNodes(
            self,
            "Login",
            props=LoginNodesProps(
                cluster=cluster,
                instance_profile_arn=self.instance_profile_arn,
                image_id=settings.images["cpu"],
                instance_type=settings.login.instance_type,
                nodes=settings.login.nodes,
                volume_gib=settings.login.volume_gib,
                root_device=settings.root_device,
                subnet=network.subnets[settings.login.zone],
                security_groups=(foundation.efa,),  # a client of the file system
                encryption_key=foundation.key,
                user_data=self._user_data(family=None, accelerators=0),
                tags={TAG_TEAM: team.name, TAG_STACK: construct_id},
            ),
        )

        self.publish(PARAMETER_SLURM_CLUSTER_ID, cluster.cluster_id)
        self.publish(PARAMETER_SLURM_HOMES, homes.source)
        self.publish(PARAMETER_SLURM_LUSTRE, storage.file_system.source)

    def add_nodes(self, scope: Construct, name: str, source: CapacitySource) -> ComputeNodeGroup:
        """Make the nodes of `source` a group of the cluster and a queue, both called `name`, as a part of `scope`."""
        return ComputeNodeGroup(
            scope,
            "Nodes",
            props=ComputeNodeGroupProps(
                name=name,
                cluster_id=self.cluster_id,
                instance_profile_arn=self.instance_profile_arn,
                image_id=self._settings.images[image_kind(source.hardware)],
                source=source,
            ),
        )

    def user_data(self, hardware: InstanceType) -> str:
        """What nodes of that type run at their first boot: text without references, before base64."""
        assert hardware.accelerator_count is not None
        return self._user_data(family=hardware.family, accelerators=hardware.accelerator_count)

    def _user_data(self, *, family: Literal["nvidia", "neuron"] | None, accelerators: int) -> str:
        return user_data(
            NodeProps(
                team=self.team.name,
                family=family,
                accelerators=accelerators,
                driver_floor=driver_floor(family) if family else None,
                homes_parameter=parameter_path(self.team.name, PARAMETER_SLURM_HOMES),
                lustre_parameter=parameter_path(self.team.name, PARAMETER_SLURM_LUSTRE),
                registry_parameter=parameter_path(self.team.name, PARAMETER_REPOSITORY_PREFIX),
                containers=self._settings.containers,
                agent_digest=self._settings.agent_digest,
            )
        )

    def _node_role(self, storage: StorageStack, registry: RegistryStack, foundation: FoundationStack) -> NodeRole:
        role, key = NodeRole(self, "NodeRole"), foundation.key
        foundation.sessions.grant_logging(role)
        role.grant_read_parameters(
            [
                parameter_path(self.team.name, name)
                for name in (
                    PARAMETER_METRICS_ENDPOINT,
                    PARAMETER_REPOSITORY_PREFIX,
                    PARAMETER_SLURM_HOMES,
                    PARAMETER_SLURM_LUSTRE,
                )
            ]
        )
        role.grant_objects(storage.data, key, write=False)
        role.grant_objects(storage.checkpoints, key, write=True)
        for repository in registry.repositories.values():
            role.grant_pull(repository, key)
        return role
