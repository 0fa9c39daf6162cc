"""A team's HyperPod cluster, with its accelerator nodes: instance groups are a part of the cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, Protocol

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from paceline.catalog.instance_types import instance_type
from paceline.spec.names import PARAMETER_HYPERPOD_CLUSTER_ARN
from paceline_constructs.guardrails.replaceable_name import replaceable_name
from paceline_constructs.hyperpod.cluster import HyperPodCluster, HyperPodClusterProps, InstanceGroup
from paceline_constructs.hyperpod.compute_quota import ComputeQuota, ComputeQuotaProps, Sharing
from paceline_constructs.hyperpod.instance_role import InstanceRole
from paceline_constructs.hyperpod.lifecycle_scripts import LifecycleScripts
from paceline_constructs.hyperpod.scheduler_config import SchedulerConfig
from paceline_constructs.network.node_security_group import NodeSecurityGroup
from stacks.foundation import FoundationStack
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource, TrainingPlan
from stacks.settings.hyperpod import Governance, HyperPod, Quota
from stacks.storage import StorageStack
from stacks.team_stack import TeamStack

_SLURM_ROLES: dict[str, Literal["Controller", "Login"]] = {"controller": "Controller", "login": "Login"}
_SHARING: dict[str, Sharing] = {"lend": "Lend", "keep": "DontLend", "lend-and-borrow": "LendAndBorrow"}


class Kubernetes(Protocol):
    """What HyperPod needs of the team's EKS cluster."""

    cluster_arn: str
    security_groups: tuple[ec2.ISecurityGroup, ...]


class HyperPodStack(TeamStack):
    """Every capacity source that serves hyperpod is an instance group called as the source."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: Team,
        foundation: FoundationStack,
        storage: StorageStack,
        eks: Kubernetes | None,
    ) -> None:
        super().__init__(scope, construct_id, team=team, description="the HyperPod cluster")
        settings = team.parameters.hyperpod
        assert settings is not None  # the stage makes no stack without the section
        self._settings, self._foundation = settings, foundation
        # HyperPod changes neither its network nor its orchestrator in place
        self._name = replaceable_name(team.name, settings.zone, settings.orchestrator)
        key, subnets = foundation.key, foundation.network.subnets
        self.node_role = role = InstanceRole(
            self, "InstanceRole", orchestrator=settings.orchestrator, encryption_key=key
        )
        foundation.sessions.grant_logging(role)
        scripts = None
        if settings.scripts is None:
            name = f"sagemaker-{team.name}-{self.account}-{self.region}"
            scripts = LifecycleScripts(self, "LifecycleScripts", bucket_name=name, encryption_key=key)
            scripts.grant_read(role)
        vpc = foundation.network.vpc
        nodes = NodeSecurityGroup(self, "Nodes", vpc=vpc, description="Nodes of the HyperPod cluster")
        kubernetes = eks if settings.orchestrator == "eks" else None
        cluster = HyperPodCluster(
            self,
            "Cluster",
            props=HyperPodClusterProps(
                name=self._name,
                eks_cluster_arn=kubernetes.cluster_arn if kubernetes else None,
                groups=[*self._hosts(settings), *self._accelerators(settings)],
                role=role,
                scripts_uri=scripts.source_uri if scripts else settings.scripts or "",
                subnet=subnets[settings.zone],
                security_groups=(foundation.efa, nodes, *(kubernetes.security_groups if kubernetes else ())),
                file_system=storage.file_system,
                encryption_key=key,
                node_recovery=settings.node_recovery,
                tiered_storage_percent=settings.tiered_storage_percent,
            ),
        )
        cluster.node.add_dependency(role)
        if scripts:
            cluster.node.add_dependency(scripts)
        self.cluster_arn = cluster.cluster_arn
        if settings.governance:
            self._govern(settings.governance)

        self.publish(PARAMETER_HYPERPOD_CLUSTER_ARN, self.cluster_arn)

    def _sources(self) -> Iterator[tuple[str, CapacitySource]]:
        sources = self.team.parameters.capacity.items()
        return ((name, source) for name, source in sources if source.serves == "hyperpod")

    def _hosts(self, settings: HyperPod) -> Iterator[InstanceGroup]:
        for name, group in settings.groups.items():
            yield InstanceGroup(
                name=name,
                instance_type=group.instance_type,
                nodes=group.nodes,
                min_nodes=group.nodes,
                volume_gib=group.volume_gib,
                subnet=self._foundation.network.subnets[group.zone],
                slurm_role=_SLURM_ROLES.get(group.role),
            )

    def _accelerators(self, settings: HyperPod) -> Iterator[InstanceGroup]:
        for name, source in self._sources():
            purchase = source.purchase
            yield InstanceGroup(
                name=name,
                instance_type=source.instance_type,
                nodes=source.nodes,
                min_nodes=source.min_nodes,
                volume_gib=source.volume_gib,
                subnet=self._foundation.network.subnets[source.zone],
                slurm_role="Compute" if settings.orchestrator == "slurm" else None,
                efa=instance_type(source.instance_type).has_efa,
                spot=purchase.kind == "spot",
                threads_per_core=settings.threads_per_core,
                checks=settings.deep_health_checks,
                training_plan_arn=purchase.arn if isinstance(purchase, TrainingPlan) else None,
            )

    def _govern(self, governance: Governance) -> None:
        SchedulerConfig(
            self,
            "Scheduler",
            name=self._name,
            cluster_arn=self.cluster_arn,
            priorities=governance.priorities,
            fair_share=governance.fair_share,
        )
        for name, quota in governance.quotas.items():
            ComputeQuota(self, f"Quota-{name}", props=self._quota(name, quota))

    def _quota(self, name: str, quota: Quota) -> ComputeQuotaProps:
        sources, instances = dict(self._sources()), defaultdict[str, int](int)
        for source, count in quota.instances.items():
            instances[sources[source].instance_type] += count
        return ComputeQuotaProps(
            name=replaceable_name(name, self._name),  # unique in the account, and 64 characters at most
            cluster_arn=self.cluster_arn,
            group=name,
            instances=instances,
            sharing=_SHARING[quota.sharing],
            borrow_percent=quota.borrow_percent,
            weight=quota.weight,
            preempt=quota.preempt,
        )
