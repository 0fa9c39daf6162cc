"""What runs in a cluster beside jobs, installed from inside the VPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from paceline_constructs.eks.cluster import Cluster
from paceline_constructs.eks.rendering import (
    SoftwareProps,
    chart_repository,
    image_repository,
    render,
    selected,
)
from paceline_constructs.guardrails.compliance import acknowledge
from paceline_constructs.images.image_repository import ImageRepository, ImageRepositoryProps
from paceline_constructs.network.node_security_group import allow_aws

_TIMEOUT = Duration.hours(1)

# What CDK gives a project in a VPC, with a source in S3 and a key.
_FINDINGS = {
    "CB5": "the image comes from the team's registry",
    "IAM5[Action::s3:GetObject*]": "versions and tags of the one object that is the source",
    "IAM5[Action::s3:GetBucket*]": "location and policy of the bucket of assets",
    "IAM5[Action::s3:List*]": "finding the one object that is the source",
    "IAM5[Action::kms:GenerateDataKey*]": "the team's key, for the project's own output",
    "IAM5[Action::kms:ReEncrypt*]": "the team's key, for the project's own output",
    "IAM5[Resource::*]": "describing subnets, making an interface and getting a token of ECR take no resource",
    "IAM5[Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:network-interface/*]": "its id is not"
    " known before; a condition names its subnets and CodeBuild",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSoftwareProps:
    """`software` says what is installed. `tools` is the repository of the image that installs it, at `tools_tag`.

    `metrics_parameter` is the SSM parameter that holds where metrics go; it is read when the project runs, by which
    time the stack that publishes it exists. None: nothing that is installed sends metrics.
    """

    cluster: Cluster
    vpc: ec2.IVpc
    subnets: Sequence[ec2.ISubnet]
    encryption_key: kms.IKey
    software: SoftwareProps
    tools: ecr.IRepository
    tools_tag: str
    metrics_parameter: str | None
    keep_images: int
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class ClusterSoftware(Construct):
    """Charts and values as an asset, and a CodeBuild project that applies them to the private endpoint.

    The VPC has no way to the Internet, so charts and images come from the team's registry: there is a repository for a
    copy of each, and `mirror.json` of the asset lists what to copy. Deploying changes nothing in the cluster: the
    deployer starts the project afterwards (`grant_start`, `project_name`), and starting it again is safe.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ClusterSoftwareProps) -> None:
        super().__init__(scope, construct_id)
        asset = self._asset(props.software)
        stack = Stack.of(self)
        registry = f"{stack.account}.dkr.ecr.{stack.region}.{stack.url_suffix}"
        variables = {
            "CLUSTER_NAME": codebuild.BuildEnvironmentVariable(value=props.cluster.cluster_name),
            "REGISTRY": codebuild.BuildEnvironmentVariable(value=registry),
            "CHARTS": codebuild.BuildEnvironmentVariable(value=f"{registry}/{props.software.repository_prefix}/charts"),
        }
        if props.metrics_parameter is not None:
            variables["METRICS_ENDPOINT"] = codebuild.BuildEnvironmentVariable(
                value=props.metrics_parameter, type=codebuild.BuildEnvironmentVariableType.PARAMETER_STORE
            )
        self.project = codebuild.Project(
            self,
            "Project",
            description=f"Installs what runs in the cluster of team {props.software.team} beside jobs",
            source=codebuild.Source.s3(bucket=asset.bucket, path=asset.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(
                {"version": "0.2", "phases": {"build": {"commands": ["bash apply.sh"]}}}
            ),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.from_ecr_repository(props.tools, props.tools_tag),
                compute_type=codebuild.ComputeType.SMALL,
            ),
            environment_variables=variables,
            vpc=props.vpc,
            subnet_selection=ec2.SubnetSelection(subnets=list(props.subnets)),
            security_groups=[self._security_group(props)],
            encryption_key=props.encryption_key,
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=self._logs(props))
            ),
            grant_report_group_permissions=False,
            concurrent_build_limit=1,  # two at once would fight over Helm's locks
            timeout=_TIMEOUT,
        )
        self.project_name = self.project.project_name
        props.cluster.grant_describe(self.project)
        assert self.project.role is not None
        props.cluster.grant_access(
            "Software", principal_arn=self.project.role.role_arn, policy="AmazonEKSClusterAdminPolicy"
        )
        for repository in self._copies(props):
            repository.grant_pull(self.project)
        self._acknowledge_findings()

    def grant_start(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` start the project and wait for its end."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
            resource_arns=[self.project.project_arn],
        )

    def _asset(self, software: SoftwareProps) -> assets.Asset:
        with TemporaryDirectory() as folder:  # the asset is a copy
            for name, text in render(software).items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return assets.Asset(self, "Files", path=folder)

    def _copies(self, props: ClusterSoftwareProps) -> list[ecr.IRepository]:
        """The repositories for copies of public charts and images; the charts' ones are returned."""
        charts: list[ecr.IRepository] = []
        for name, row in selected(props.software).items():
            charts.append(self._repository(f"Chart-{name}", chart_repository(props.software, row), props))
            for image in row.images:
                self._repository(f"Image-{image.short_name}", image_repository(props.software, image), props)
        return charts

    def _repository(self, construct_id: str, name: str, props: ClusterSoftwareProps) -> ecr.IRepository:
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

    def _security_group(self, props: ClusterSoftwareProps) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=props.vpc,
            description="From the installing project to the cluster and to AWS",
            allow_all_outbound=False,
        )
        allow_aws(group)
        props.cluster.allow_api_from(group, "Kubernetes API for the installing project")
        return group

    def _logs(self, props: ClusterSoftwareProps) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "Logs",
            encryption_key=props.encryption_key,
            retention=props.log_retention,
            removal_policy=props.removal_policy,
        )

    def _acknowledge_findings(self) -> None:
        stack = Stack.of(self)
        name = stack.resolve(stack.get_logical_id(self.project.node.default_child))  # type: ignore[arg-type]
        streams = f"arn:aws:logs:{stack.region}:{stack.account}:log-group:/aws/codebuild/<{name}>:*"
        findings = _FINDINGS | {f"IAM5[Resource::{streams}]": "the project's own log streams"}
        for finding, reason in findings.items():
            acknowledge(self.project, finding, reason)
