"""A team's infrastructure: all its stacks in its account and region.

Stacks that not every team has are imported where a team asks for them: loading CDK's modules of a service takes up to
a second.
"""

from __future__ import annotations

from aws_cdk import Environment, PermissionsBoundary, Stack, Stage
from constructs import Construct

from paceline.spec.names import TAG_TEAM
from paceline_constructs.guardrails.tags import tag
from stacks.foundation import FoundationStack
from stacks.record import RECORD, RecordStack
from stacks.registry import RegistryStack
from stacks.settings import Team
from stacks.storage import StorageStack


class TeamStage(Stage):
    """The stage's id is the team's name: `cdk deploy 'vision/*'` deploys the stacks vision-Foundation and so on."""

    def __init__(self, scope: Construct, *, team: Team) -> None:
        location, boundary = team.parameters.location, team.parameters.permission_boundary
        super().__init__(
            scope,
            team.name,
            env=Environment(account=location.account, region=location.region),
            permissions_boundary=PermissionsBoundary.from_name(boundary) if boundary else None,
        )
        if team.parameters.delivery:  # the bootstrap roles that its deployer role takes
            self.node.set_context("@aws-cdk/core:bootstrapQualifier", team.parameters.delivery.qualifier)
        self.foundation = FoundationStack(self, "Foundation", team=team)
        self.storage = StorageStack(self, "Storage", team=team, foundation=self.foundation)
        self.registry = RegistryStack(self, "Registry", team=team, encryption_key=self.foundation.key)
        asked = team.parameters
        self.eks: EksStack | None = None
        self.slurm: SlurmStack | None = None
        self.hyperpod: HyperPodStack | None = None
        self.capacity: dict[str, CapacityStack] = {}
        self.observability: ObservabilityStack | None = None
        self.governance: GovernanceStack | None = None
        self.delivery: DeliveryStack | None = None
        foundation, storage, registry = self.foundation, self.storage, self.registry
        if asked.eks:
            from stacks.eks import EksStack

            self.eks = EksStack(self, "Eks", team=team, foundation=foundation)
        if asked.slurm:
            from stacks.slurm import SlurmStack

            self.slurm = SlurmStack(self, "Slurm", team=team, foundation=foundation, storage=storage, registry=registry)
        if asked.hyperpod:
            from stacks.hyperpod import HyperPodStack

            self.hyperpod = HyperPodStack(
                self, "HyperPod", team=team, foundation=foundation, storage=storage, eks=self.eks
            )
        for name in asked.capacity:
            from stacks.capacity import CapacityStack

            self.capacity[name] = CapacityStack(
                self,
                f"Capacity-{name}",
                team=team,
                name=name,
                foundation=foundation,
                eks=self.eks,
                slurm=self.slurm,
            )
        cluster_name = self.eks.cluster_name if self.eks else None
        software = self.eks.software if self.eks else None
        if asked.observability:
            from stacks.observability import ObservabilityStack

            on_slurm = self.hyperpod and asked.hyperpod and asked.hyperpod.orchestrator == "slurm"
            stacks = (self.slurm, self.hyperpod if on_slurm else None)
            nodes = [stack.node_role for stack in stacks if stack]
            self.observability = ObservabilityStack(
                self, "Observability", team=team, foundation=foundation, cluster_name=cluster_name, nodes=nodes
            )
        if asked.governance:
            from stacks.governance import GovernanceStack

            self.governance = GovernanceStack(
                self,
                "Governance",
                team=team,
                foundation=foundation,
                storage=storage,
                registry=registry,
                observability=self.observability,
                cluster_name=cluster_name,
                software=software,
            )
        if asked.delivery:
            from stacks.delivery import DeliveryStack

            self.delivery = DeliveryStack(self, "Delivery", team=team, software=software)
        others = [child for child in self.node.children if isinstance(child, Stack)]
        self.record = RecordStack(self, RECORD, team=team)
        for stack in others:  # it says that all of them are deployed
            self.record.add_stack_dependency(stack)
        tag(self, TAG_TEAM, team.name)
