"""A script of ours that AWS runs on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from paceline_constructs.guardrails.build_project import SOURCE_FINDINGS, logging
from paceline_constructs.guardrails.compliance import acknowledge

_TIMEOUT = Duration.hours(1)

# the last two come with a VPC
_FINDINGS = {
    "CB5": "the image comes from the team's registry",
    **SOURCE_FINDINGS,
    "IAM5[Resource::*]": "describing subnets, making an interface and getting a token of ECR take no resource",
    "IAM5[Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:network-interface/*]": "its id is not"
    " known before; a condition names its subnets and CodeBuild",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Subnets of a VPC, and the group of the interface there."""

    vpc: ec2.IVpc
    subnets: Sequence[ec2.ISubnet]
    security_group: ec2.ISecurityGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptProjectProps:
    """`files` (text by path) lie in the script's folder, and `script` is one of them. `tools` is the repository of the
    image that runs it, at `tools_tag`. Without `placement` it runs outside of every VPC, with a way to the Internet.

    A variable of `parameters` is the name of an SSM parameter, read when the project runs: whoever publishes it may be
    deployed later.
    """

    description: str
    script: str
    files: Mapping[str, str]
    tools: ecr.IRepository
    tools_tag: str
    variables: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    placement: Placement | None = None
    encryption_key: kms.IKey
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class ScriptProject(Construct):
    """A CodeBuild project that is started by hand or by a pipeline (`grant_start`), never twice at once.

    `role` is what the script may do beside reading its own files and writing its log.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ScriptProjectProps) -> None:
        super().__init__(scope, construct_id)
        asset, place, in_store = _asset(self, props.files), props.placement, codebuild.BuildEnvironmentVariableType
        account = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com", conditions=account)
        )
        self.project = codebuild.Project(
            self,
            "Project",
            role=self.role,
            description=props.description,
            source=codebuild.Source.s3(bucket=asset.bucket, path=asset.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(
                {"version": "0.2", "phases": {"build": {"commands": [f"bash {props.script}"]}}}
            ),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.from_ecr_repository(props.tools, props.tools_tag),
                compute_type=codebuild.ComputeType.SMALL,
            ),
            environment_variables={
                **{name: codebuild.BuildEnvironmentVariable(value=value) for name, value in props.variables.items()},
                **{
                    name: codebuild.BuildEnvironmentVariable(value=value, type=in_store.PARAMETER_STORE)
                    for name, value in props.parameters.items()
                },
            },
            vpc=place.vpc if place else None,
            subnet_selection=ec2.SubnetSelection(subnets=list(place.subnets)) if place else None,
            security_groups=[place.security_group] if place else None,
            encryption_key=props.encryption_key,
            logging=logging(self, props),
            grant_report_group_permissions=False,
            concurrent_build_limit=1,
            timeout=_TIMEOUT,
        )
        self.project_name = self.project.project_name
        self._acknowledge_findings()

    def grant_start(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` start the project and wait for its end."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
            resource_arns=[self.project.project_arn],
        )

    def _acknowledge_findings(self) -> None:
        stack = Stack.of(self)
        name = stack.resolve(stack.get_logical_id(self.project.node.default_child))  # type: ignore[arg-type]
        streams = f"arn:aws:logs:{stack.region}:{stack.account}:log-group:/aws/codebuild/<{name}>:*"
        findings = _FINDINGS | {f"IAM5[Resource::{streams}]": "the project's own log streams"}
        for finding, reason in findings.items():
            acknowledge(self, finding, reason)


def _asset(scope: Construct, files: Mapping[str, str]) -> assets.Asset:
    with TemporaryDirectory() as folder:  # the asset is a copy
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return assets.Asset(scope, "Files", path=folder)
