"""Copies of public charts and images, in the team's registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline.catalog.cluster_software import SoftwareImage
from paceline_constructs.eks.mirror import chart_repository, image_repository
from paceline_constructs.eks.rendering import SoftwareProps, render_mirror
from paceline_constructs.eks.script_project import ScriptProject, ScriptProjectProps
from paceline_constructs.images.image_repository import ImageRepository, ImageRepositoryProps

# a private registry of AWS's own: whoever has an identity may pull, if its policy says so too
_AWS_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<repository>.+)")
_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftwareMirrorProps:
    """`software` says what is copied; `tools` is the repository of the image that copies it, at `tools_tag`.

    A repository keeps its newest `keep_images` versions.
    """

    registry: str
    software: SoftwareProps
    tools: ecr.IRepository
    tools_tag: str
    encryption_key: kms.IKey
    keep_images: int
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class SoftwareMirror(Construct):
    """A repository for every chart and image, and a CodeBuild project that fills them, each by its digest.

    The project runs outside of the VPC, which has no way to the Internet, and may write to these repositories only.
    What the catalog knows no digest of is not copied: the project fails and prints what upstream offers, for review.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: SoftwareMirrorProps) -> None:
        super().__init__(scope, construct_id)
        prefix, rows = props.software.repository_prefix, props.software.rows
        images = [image for row in rows.values() for image in row.images]
        self.charts = {
            row.chart.name: self._repository(f"Chart-{name}", chart_repository(prefix, row.chart), props)
            for name, row in rows.items()
        }
        self.images = {
            image.name: self._repository(f"Image-{image.short_name}", image_repository(prefix, image), props)
            for image in images
        }
        self.project = ScriptProject(
            self,
            "Project",
            props=ScriptProjectProps(
                description=f"Copies public charts and images for the cluster of team {props.software.team}",
                script="mirror.sh",
                files=render_mirror(props.software),
                tools=props.tools,
                tools_tag=props.tools_tag,
                variables={"REGISTRY": props.registry},
                encryption_key=props.encryption_key,
                log_retention=props.log_retention,
                removal_policy=props.removal_policy,
            ),
        )
        for repository in (*self.charts.values(), *self.images.values()):
            repository.grant_pull_push(self.project.role)
        if foreign := sorted(filter(None, map(self._foreign, images))):
            self.project.role.add_to_principal_policy(iam.PolicyStatement(actions=_PULL, resources=foreign))

    def grant_look(self, role: iam.IRole) -> None:
        """Pull charts, and see which copies there are."""
        for repository in (*self.charts.values(), *self.images.values()):
            repository.grant_pull(role)

    def _repository(self, construct_id: str, name: str, props: SoftwareMirrorProps) -> ImageRepository:
        return ImageRepository(
            self,
            construct_id,
            props=ImageRepositoryProps(
                name=name,
                encryption_key=props.encryption_key,
                keep_images=props.keep_images,
                removal_policy=props.removal_policy,
            ),
        )

    def _foreign(self, image: SoftwareImage) -> str | None:
        """The ARN of the image's repository in a private registry of AWS; None for a public one."""
        match = _AWS_IMAGE.fullmatch(image.name)
        if match is None:
            return None
        parts: Mapping[str, str] = match.groupdict()
        return Stack.of(self).format_arn(
            service="ecr",
            account=parts["account"],
            region=parts["region"],
            resource="repository",
            resource_name=parts["repository"],
        )
