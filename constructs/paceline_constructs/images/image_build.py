"""Who builds a team's images."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from paceline_constructs.guardrails.build_project import SOURCE_FINDINGS, logging
from paceline_constructs.guardrails.compliance import acknowledge
from paceline_constructs.images.image_signing import ImageSigning

_SCRIPTS = Path(__file__).parent / "scripts"
# what a build reads of the repository
_SOURCES = ("images", "training", "docker-bake.hcl", ".dockerignore")
_TIMEOUT = Duration.hours(4)

_FINDINGS = {
    "CB3": "a builder of images needs the engine of Docker that comes with privileges; nothing else runs in there",
    "CB5": "the image comes with an engine of Docker, and AWS maintains it",
    **SOURCE_FINDINGS,
    "IAM5[Resource::*]": "getting a token of ECR takes no resource",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageBuildProps:
    """`image` is a folder of `sources`/images, `repository` where it goes: `prefix`/`image` in the team's registry.

    Images that compile (`large`) get more of a machine.
    """

    image: str
    sources: Path
    repository: ecr.IRepository
    prefix: str
    large: bool
    signing: ImageSigning | None
    encryption_key: kms.IKey
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class ImageBuild(Construct):
    """A CodeBuild project that builds, tests, scans and pushes one image, and by that has it signed.

    It builds the checkout that was deployed. The same inputs have the same tag, and a tag that is there is not built
    again; so starting it twice is safe. It is started by hand or by a pipeline.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ImageBuildProps) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        account = {"StringEquals": {"aws:SourceAccount": stack.account}}
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com", conditions=account)
        )
        source = _asset(self, props.sources)
        size = codebuild.ComputeType.X2_LARGE if props.large else codebuild.ComputeType.MEDIUM
        variables = {
            "IMAGE": props.image,
            "PREFIX": props.prefix,
            "REGISTRY": f"{stack.account}.dkr.ecr.{stack.region}.{stack.url_suffix}",
        }
        self.project = codebuild.Project(
            self,
            "Project",
            role=self.role,
            description=f"Builds the image {props.image} and pushes it to {props.prefix}",
            source=codebuild.Source.s3(bucket=source.bucket, path=source.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(
                {"version": "0.2", "phases": {"build": {"commands": ["bash build.sh"]}}}
            ),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.STANDARD_7_0, compute_type=size, privileged=True
            ),
            environment_variables={
                name: codebuild.BuildEnvironmentVariable(value=value) for name, value in variables.items()
            },
            encryption_key=props.encryption_key,
            logging=logging(self, props),
            grant_report_group_permissions=False,
            concurrent_build_limit=1,
            timeout=_TIMEOUT,
        )
        props.repository.grant_pull_push(self.role)
        props.repository.grant(self.role, "ecr:DescribeImageScanFindings", "ecr:DescribeImages")
        if props.signing:
            props.signing.grant_sign(self.role)
        self._acknowledge_findings(stack)

    def grant_start(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` start the project and wait for its end."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
            resource_arns=[self.project.project_arn],
        )

    def _acknowledge_findings(self, stack: Stack) -> None:
        name = stack.resolve(stack.get_logical_id(self.project.node.default_child))  # type: ignore[arg-type]
        streams = f"arn:aws:logs:{stack.region}:{stack.account}:log-group:/aws/codebuild/<{name}>:*"
        findings = _FINDINGS | {f"IAM5[Resource::{streams}]": "the project's own log streams"}
        for finding, reason in findings.items():
            acknowledge(self, finding, reason)


def _asset(scope: Construct, root: Path) -> assets.Asset:
    with TemporaryDirectory() as folder:  # the asset is a copy
        for name in _SOURCES:
            _copy(root / name, Path(folder, name))
        _copy(_SCRIPTS / "build.sh", Path(folder, "build.sh"))
        return assets.Asset(scope, "Sources", path=folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, target)
