"""Where a team's images live, and who builds and signs them."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline.spec.names import PARAMETER_REPOSITORY_PREFIX
from paceline_constructs.images.image_build import ImageBuild, ImageBuildProps
from paceline_constructs.images.image_replication import ImageReplication
from paceline_constructs.images.image_repository import ImageRepository, ImageRepositoryProps
from paceline_constructs.images.image_signing import ImageSigning
from stacks.settings import Team
from stacks.team_stack import TeamStack, log_retention

_ROOT = Path(__file__).parent.parent
_COMPILED = ("gpu",)  # nccl-tests, for every kind of GPU


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

        signing = None
        if settings.signed:
            signing = ImageSigning(self, "Signing", prefix=prefix, removal_policy=self.removal_policy)
        if settings.replicate_to:
            ImageReplication(self, "Replication", prefix=prefix, regions=settings.replicate_to)
        self.builds = {
            name: ImageBuild(
                self,
                f"Build-{name}",
                props=ImageBuildProps(
                    image=name,
                    sources=_ROOT,
                    repository=self.repositories[name],
                    prefix=prefix,
                    large=name in _COMPILED,
                    signing=signing,
                    encryption_key=encryption_key,
                    log_retention=log_retention(settings.log_days),
                    removal_policy=self.removal_policy,
                ),
            )
            for name in settings.build
        }
        registry = f"{self.account}.dkr.ecr.{self.region}.{self.url_suffix}"
        self.publish(PARAMETER_REPOSITORY_PREFIX, f"{registry}/{prefix}")
