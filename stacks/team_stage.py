"""A team's infrastructure: all its stacks in its account and region."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from aws_cdk import Environment, PermissionsBoundary, Stage
from constructs import Construct

from paceline.spec.names import TAG_TEAM
from paceline_constructs.guardrails.tags import tag
from stacks.foundation import FoundationStack
from stacks.registry import RegistryStack
from stacks.settings import Team
from stacks.storage import StorageStack


def _stack(name: str) -> Any:
    """The class of an optional stack, by `module:class`. Loading CDK's modules of a service takes up to a second, so
    those that no team asks for are not loaded."""
    module, _, cls = name.partition(":")
    return getattr(import_module(f"stacks.{module}"), cls)


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
        self.foundation = FoundationStack(self, "Foundation", team=team)
        self.storage = StorageStack(self, "Storage", team=team, foundation=self.foundation)
        self.registry = RegistryStack(self, "Registry", team=team, encryption_key=self.foundation.key)
        self.eks = (
            _stack("eks:EksStack")(self, "Eks", team=team, foundation=self.foundation) if team.parameters.eks else None
        )
        self.slurm = (
            _stack("slurm:SlurmStack")(
                self,
                "Slurm",
                team=team,
                foundation=self.foundation,
                storage=self.storage,
                registry=self.registry,
            )
            if team.parameters.slurm
            else None
        )
        self.hyperpod = (
            _stack("hyperpod:HyperPodStack")(
                self, "HyperPod", team=team, foundation=self.foundation, storage=self.storage, eks=self.eks
            )
            if team.parameters.hyperpod
            else None
        )
        self.capacity = {
            name: _stack("capacity:CapacityStack")(
                self,
                f"Capacity-{name}",
                team=team,
                name=name,
                foundation=self.foundation,
                eks=self.eks,
                slurm=self.slurm,
            )
            for name in team.parameters.capacity
        }
        cluster_name = self.eks.cluster_name if self.eks else None
        self.observability = (
            _stack("observability:ObservabilityStack")(
                self, "Observability", team=team, foundation=self.foundation, cluster_name=cluster_name
            )
            if team.parameters.observability
            else None
        )
        self.governance = (
            _stack("governance:GovernanceStack")(
                self,
                "Governance",
                team=team,
                foundation=self.foundation,
                storage=self.storage,
                registry=self.registry,
                observability=self.observability,
                cluster_name=cluster_name,
            )
            if team.parameters.governance
            else None
        )
        self.delivery = (
            _stack("delivery:DeliveryStack")(self, "Delivery", team=team) if team.parameters.delivery else None
        )
        tag(self, TAG_TEAM, team.name)
