"""What runs in a cluster beside jobs, installed from inside the VPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline_constructs.eks.cluster import Cluster
from paceline_constructs.eks.rendering import SoftwareProps, render
from paceline_constructs.eks.script_project import Placement, ScriptProject, ScriptProjectProps
from paceline_constructs.eks.software_mirror import SoftwareMirror, SoftwareMirrorProps
from paceline_constructs.network.node_security_group import allow_aws


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSoftwareProps:
    """`software` says what is installed. `tools` is the repository of the image that installs it, at `tools_tag`: it
    holds aws, bash, envsubst, helm, kubectl and skopeo.

    `metrics_parameter` is the SSM parameter that holds where metrics go. None: nothing that is installed sends any.
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
    """Two projects: `mirror` brings public charts and images into the team's registry, `project` installs from there.

    Deploying changes nothing in the cluster: the deployer starts the two afterwards (`grant_start`), in this order, and
    starting them again is safe. The second refuses to begin while a copy is missing.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ClusterSoftwareProps) -> None:
        super().__init__(scope, construct_id)
        stack, team = Stack.of(self), props.software.team
        self.has_controller = props.software.controller is not None
        registry = f"{stack.account}.dkr.ecr.{stack.region}.{stack.url_suffix}"
        self.mirror = SoftwareMirror(
            self,
            "Mirror",
            props=SoftwareMirrorProps(
                registry=registry,
                software=props.software,
                tools=props.tools,
                tools_tag=props.tools_tag,
                encryption_key=props.encryption_key,
                keep_images=props.keep_images,
                log_retention=props.log_retention,
                removal_policy=props.removal_policy,
            ),
        )
        self.project = ScriptProject(
            self,
            "Apply",
            props=ScriptProjectProps(
                description=f"Installs what runs in the cluster of team {team} beside jobs",
                script="apply.sh",
                files=render(props.software),
                tools=props.tools,
                tools_tag=props.tools_tag,
                variables={
                    "CLUSTER_NAME": props.cluster.cluster_name,
                    "REGISTRY": registry,
                    "CHARTS": f"{registry}/{props.software.repository_prefix}/charts",
                    "MIRROR_PROJECT": self.mirror.project.project_name,
                },
                parameters={"METRICS_ENDPOINT": props.metrics_parameter} if props.metrics_parameter else {},
                placement=Placement(vpc=props.vpc, subnets=props.subnets, security_group=self._security_group(props)),
                encryption_key=props.encryption_key,
                log_retention=props.log_retention,
                removal_policy=props.removal_policy,
            ),
        )
        role = self.project.role
        self.mirror.grant_look(role)
        props.cluster.grant_describe(role)
        props.cluster.grant_access("Software", principal_arn=role.role_arn, policy="AmazonEKSClusterAdminPolicy")

    def grant_start(self, grantee: iam.IGrantable) -> None:
        """Let `grantee` start both projects and wait for their end."""
        self.mirror.project.grant_start(grantee)
        self.project.grant_start(grantee)

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
