"""Who deploys the team, without a stored key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constructs import Construct

from paceline.spec.names import PARAMETER_DEPLOYER_ROLE, PARAMETER_PREVIEW_ROLE
from paceline_constructs.delivery.deployer_role import DEPLOY, LOOK, DeployerRole
from paceline_constructs.delivery.github_oidc import (
    GithubOidcProvider,
    branch,
    environment,
    pull_requests,
    workflows,
)
from stacks.settings import Team
from stacks.team_stack import TeamStack

if TYPE_CHECKING:  # CodeBuild takes long to load, and few teams install software
    from paceline_constructs.eks.cluster_software import ClusterSoftware


class DeliveryStack(TeamStack):
    """The roles that the workflows of one repository take. Deployed once by hand; from then on it deploys itself.

    With `software` a workflow may also start the projects that mirror and install it, after it has deployed.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, team: Team, software: ClusterSoftware | None = None
    ) -> None:
        super().__init__(scope, construct_id, team=team, description="roles of the workflows that deploy")
        settings = team.parameters.delivery
        assert settings is not None
        provider = settings.provider or GithubOidcProvider(self, "Github").oidc_provider_arn
        subjects = [environment(settings.repository, name) for name in settings.environments]
        subjects += [branch(settings.repository, name) for name in settings.branches]
        deployer = DeployerRole(
            self,
            "Deployer",
            trusted=workflows(provider, subjects),
            roles=DEPLOY,
            qualifier=settings.qualifier,
            description=f"Workflows of {settings.repository} that deploy",
        )
        if software is not None:
            software.grant_start(deployer)
        self.publish(PARAMETER_DEPLOYER_ROLE, deployer.role_arn)
        if settings.preview:
            preview = DeployerRole(
                self,
                "Preview",
                trusted=workflows(provider, [pull_requests(settings.repository)]),
                roles=LOOK,
                qualifier=settings.qualifier,
                description=f"Workflows of pull requests to {settings.repository}",
            )
            preview.grant_read_stacks(team.name)
            self.publish(PARAMETER_PREVIEW_ROLE, preview.role_arn)
