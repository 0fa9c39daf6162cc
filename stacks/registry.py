"""Where a team's images live."""

from __future__ import annotations

from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline.spec.names import PARAMETER_REPOSITORY_PREFIX
from paceline_constructs.images.image_repository import ImageRepository, ImageRepositoryProps
from stacks.settings import Team
from stacks.team_stack import TeamStack


class RegistryStack(TeamStack):
    """One repository per kind of image, named `paceline/<team>/<name>`."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team, encryption_key: kms.IKey) -> None:
        super().__init__(scope, construct_id, team=team, description="container images")
        settings = team.parameters.registry
        prefix = f"paceline/{team.name}"
        self.repositories = {
            name: ImageRepository(
                self,
                f"Repository-{name}",
                props=ImageRepositoryProps(
                    name=f"{prefix}/{name}",
                    encryption_key=encryption_key,
                    keep_images=settings.keep_images,
                    removal_policy=self.removal_policy,
                ),
            )
            for name in settings.repositories
        }

        registry = f"{self.account}.dkr.ecr.{self.region}.{self.url_suffix}"
        self.publish(PARAMETER_REPOSITORY_PREFIX, f"{registry}/{prefix}")
