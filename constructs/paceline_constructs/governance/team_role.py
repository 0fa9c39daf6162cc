"""What the people and the programs of a team may do, and nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Duration, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from paceline.spec.names import TAG_TEAM, parameter_path
from paceline_constructs.governance.session_logging import SessionLogging
from paceline_constructs.guardrails.compliance import acknowledge_wildcard

_OBJECTS = "objects of the team's own bucket, whose names nobody knows beforehand"
_NODES = "only nodes that carry the team's tag"


class TeamRole(iam.Role):
    """A role of `team` that starts with no right but to find the team's own things; each `allow_*` adds one.

    A session lasts an hour unless `session` says otherwise. The permission boundary of the stage bounds it. What it may
    do to nodes is limited to those that carry the team's tag.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: str,
        description: str,
        trusted: iam.IPrincipal,
        session: Duration | None = None,
    ) -> None:
        super().__init__(scope, construct_id, assumed_by=trusted, description=description, max_session_duration=session)
        self.team = team
        parameters = Stack.of(self).format_arn(
            service="ssm", resource="parameter", resource_name=parameter_path(team, "*").lstrip("/")
        )
        self._allow(["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"], [parameters])
        acknowledge_wildcard(self, parameters, "everything below the team's own path")

    def allow_shell(self, sessions: SessionLogging) -> None:
        """Open logged shells on the team's nodes, with the team's document and no other."""
        stack = Stack.of(self)
        document = stack.format_arn(service="ssm", resource="document", resource_name=sessions.document_name)
        nodes = stack.format_arn(service="ec2", resource="instance", resource_name="*")
        own = stack.format_arn(service="ssm", resource="session", resource_name="${aws:userid}-*")
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["ssm:StartSession"],
                resources=[nodes],
                conditions={
                    "StringEquals": {f"aws:ResourceTag/{TAG_TEAM}": self.team},
                    # without it a caller may leave the document out, and gets the account's unlogged default
                    "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
                },
            )
        )
        self._allow(["ssm:StartSession"], [document])
        self._allow(["ssm:TerminateSession", "ssm:ResumeSession"], [own])
        acknowledge_wildcard(self, nodes, _NODES)
        acknowledge_wildcard(self, own, "only sessions that the caller began")

    def allow_describe(self) -> None:
        """See nodes, their state and their capacity."""
        actions = [
            "ec2:DescribeCapacityReservations",
            "ec2:DescribeInstanceStatus",
            "ec2:DescribeInstanceTopology",
            "ec2:DescribeInstances",
            "ssm:DescribeInstanceInformation",
            "ssm:DescribeSessions",
        ]
        self._allow(actions, ["*"])
        acknowledge_wildcard(self, "*", "these actions know no resources, and change nothing")

    def allow_node_repair(self) -> None:
        """Reboot, stop and terminate the team's nodes."""
        nodes = Stack.of(self).format_arn(service="ec2", resource="instance", resource_name="*")
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["ec2:RebootInstances", "ec2:StopInstances", "ec2:TerminateInstances"],
                resources=[nodes],
                conditions={"StringEquals": {f"aws:ResourceTag/{TAG_TEAM}": self.team}},
            )
        )
        acknowledge_wildcard(self, nodes, _NODES)

    def allow_read(self, bucket: s3.IBucket, prefix: str = "") -> None:
        """List and read objects of `bucket` below `prefix`."""
        objects = bucket.arn_for_objects(f"{prefix}*")
        self._allow(["s3:GetBucketLocation", "s3:ListBucket"], [bucket.bucket_arn])
        self._allow(["s3:GetObject"], [objects])
        acknowledge_wildcard(self, objects, _OBJECTS)
        self._use_key(bucket, ["kms:Decrypt"])

    def allow_write(self, bucket: s3.IBucket, prefix: str = "") -> None:
        """Write objects of `bucket` below `prefix`; older versions stay."""
        objects = bucket.arn_for_objects(f"{prefix}*")
        self._allow(["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"], [objects])
        acknowledge_wildcard(self, objects, _OBJECTS)
        self._use_key(bucket, ["kms:Decrypt", "kms:GenerateDataKey"])

    def allow_images(self, repositories: Iterable[ecr.IRepository], *, push: bool) -> None:
        """Pull images, and with `push` add new ones; tags never move."""
        arns = [repository.repository_arn for repository in repositories]
        self._allow(["ecr:GetAuthorizationToken"], ["*"])
        pull = [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:DescribeImages",
            "ecr:GetDownloadUrlForLayer",
        ]
        upload = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
        self._allow([*pull, *(upload if push else [])], arns)
        acknowledge_wildcard(self, "*", "a login to ECR knows no resources")

    def allow_logs(self, groups: Iterable[logs.ILogGroup]) -> None:
        """Read log groups."""
        actions = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams", "logs:StartQuery"]
        self._allow(actions, [group.log_group_arn for group in groups])

    def allow_cluster(self, cluster_arn: str) -> None:
        """Get the endpoint of an EKS cluster; what to do there is up to its access entries."""
        self._allow(["eks:DescribeCluster"], [cluster_arn])

    def _use_key(self, bucket: s3.IBucket, actions: list[str]) -> None:
        assert bucket.encryption_key is not None
        self._allow(actions, [bucket.encryption_key.key_arn])

    def _allow(self, actions: list[str], resources: list[str]) -> None:
        self.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
