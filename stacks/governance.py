"""Who may do what with the team's things, and what they may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from constructs import Construct

from paceline.spec.names import (
    CONTROLLER_POD,
    PARAMETER_CONTROLLER_ROLE,
    PARAMETER_OPERATOR_ROLE,
    PARAMETER_RESEARCHER_ROLE,
    PARAMETER_RUN_ROLE,
    RUN_POD,
)
from paceline_constructs.eks.access_entry import AccessEntry
from paceline_constructs.eks.pod_identity import PodIdentity, pods
from paceline_constructs.governance.budget import MonthlyBudget, MonthlyBudgetProps
from paceline_constructs.governance.team_role import TeamRole
from paceline_constructs.governance.trust import trusted_roles
from stacks.foundation import FoundationStack
from stacks.observability import ObservabilityStack
from stacks.registry import RegistryStack
from stacks.settings import Team
from stacks.settings.governance import Budget, People
from stacks.storage import StorageStack
from stacks.team_stack import TeamStack

if TYPE_CHECKING:  # CodeBuild takes long to load, and few teams install software
    from paceline_constructs.eks.cluster_software import ClusterSoftware


class GovernanceStack(TeamStack):
    """Roles for runs, researchers and operators, and a budget. `cluster_name` is the EKS cluster's, if there is one,
    and `software` what is installed there.

    A run has its role as a pod; on Slurm it has that of its node.
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
        observability: ObservabilityStack | None,
        cluster_name: str | None,
        software: ClusterSoftware | None = None,
    ) -> None:
        super().__init__(scope, construct_id, team=team, description="roles and budget")
        settings = team.parameters.governance
        assert settings is not None
        self.foundation, self.storage, self.registry = foundation, storage, registry
        self.observability = observability
        self.cluster_name, self.software = cluster_name, software
        if cluster_name is not None:
            self._add_run_role(cluster_name)
            if software is not None and software.has_controller:
                self._add_controller_role(cluster_name)
        if settings.researchers:
            self._add_researchers(settings.researchers)
        if settings.operators:
            self._add_operators(settings.operators)
        if settings.budget:
            self._add_budget(settings.budget)

    def _add_run_role(self, cluster_name: str) -> None:
        role = TeamRole(
            self,
            "Run",
            team=self.team.name,
            description="What a run may do: read data, keep checkpoints",
            trusted=pods(),
        )
        role.allow_read(self.storage.data)
        role.allow_read(self.storage.checkpoints)
        role.allow_write(self.storage.checkpoints)
        PodIdentity(self, "RunPod", cluster_name=cluster_name, pod=RUN_POD, role=role)
        self.publish(PARAMETER_RUN_ROLE, role.role_arn)

    def _add_controller_role(self, cluster_name: str) -> None:
        role = TeamRole(
            self,
            "Controller",
            team=self.team.name,
            description="What paceline's controller may do to nodes",
            trusted=pods(),
        )
        role.allow_describe()
        role.allow_node_repair()
        PodIdentity(self, "ControllerPod", cluster_name=cluster_name, pod=CONTROLLER_POD, role=role)
        self.publish(PARAMETER_CONTROLLER_ROLE, role.role_arn)

    def _add_researchers(self, people: People) -> None:
        role = self._role("Researcher", "Trains: data, checkpoints, images, shells", people)
        prefix = f"{self.team.parameters.storage.file_system.data_prefix}/"
        role.allow_read(self.storage.data)
        role.allow_write(self.storage.data, prefix)
        role.allow_read(self.storage.checkpoints)
        role.allow_images(self.registry.repositories.values(), push=True)
        role.allow_shell(self.foundation.sessions)
        if self.observability:
            self.observability.prometheus.grant_query(role)
        self._enter_cluster(role, "AmazonEKSEditPolicy", namespaces=[RUN_POD[0]])
        self.publish(PARAMETER_RESEARCHER_ROLE, role.role_arn)

    def _add_operators(self, people: People) -> None:
        role = self._role("Operator", "Keeps it running: shells, repair, silences, logs", people)
        role.allow_describe()
        role.allow_shell(self.foundation.sessions)
        role.allow_node_repair()
        role.allow_images(self.registry.repositories.values(), push=False)
        role.allow_logs([self.foundation.sessions.log_group])
        if self.observability:
            self.observability.prometheus.grant_query(role)
            self.observability.prometheus.grant_silence(role)
            role.allow_logs([self.observability.prometheus.log_group])
        if self.software:
            self.software.grant_start(role)
        self._enter_cluster(role, "AmazonEKSAdminPolicy", namespaces=[])
        self.publish(PARAMETER_OPERATOR_ROLE, role.role_arn)

    def _role(self, name: str, description: str, people: People) -> TeamRole:
        return TeamRole(
            self,
            name,
            team=self.team.name,
            description=description,
            trusted=trusted_roles(people.trusted),
            session=Duration.hours(people.session_hours),
        )

    def _enter_cluster(self, role: TeamRole, policy: str, *, namespaces: list[str]) -> None:
        """With `namespaces` the policy holds in them only."""
        if self.cluster_name is None:
            return
        role.allow_cluster(self.format_arn(service="eks", resource="cluster", resource_name=self.cluster_name))
        AccessEntry(
            self,
            f"{role.node.id}Entry",
            cluster_name=self.cluster_name,
            principal_arn=role.role_arn,
            policy=policy,
            namespaces=namespaces,
        )

    def _add_budget(self, budget: Budget) -> None:
        MonthlyBudget(
            self,
            "Budget",
            props=MonthlyBudgetProps(
                team=self.team.name,
                usd=budget.monthly_usd,
                actual_percent=budget.actual_percent,
                forecast_percent=budget.forecast_percent,
                topic=self.foundation.alerts["warning"],
            ),
        )
