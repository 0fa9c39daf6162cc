"""What a node of a Slurm cluster may do."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge, acknowledge_objects

# PCS accepts only roles and profiles below this path (AWS PCS User Guide, security-instance-profiles.html)
PATH = "/aws-pcs/"


class NodeRole(iam.Role):
    """Registers with PCS, opens sessions through Systems Manager; `instance_profile_arn` carries it to a node."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            path=PATH,
            description="Nodes of the Slurm cluster",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSSMManagedInstanceCore")],
        )
        acknowledge(
            self,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore]",
            "what the agent of Systems Manager needs changes with the agent; AWS keeps this policy in step",
        )
        self._allow(["pcs:RegisterComputeNodeGroupInstance"], "PCS has no resource-level permission for it")
        profile = iam.CfnInstanceProfile(self, "Profile", path=PATH, roles=[self.role_name])
        self.instance_profile_arn = profile.attr_arn

    def grant_read_parameters(self, names: Sequence[str]) -> None:
        """Read these parameters of Systems Manager."""
        stack = Stack.of(self)
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["ssm:GetParameter"],
                resources=[
                    stack.format_arn(
                        service="ssm",
                        resource="parameter",
                        resource_name=name.removeprefix("/"),
                        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
                    )
                    for name in names
                ],
            )
        )

    def grant_objects(self, bucket: s3.IBucket, key: kms.IKey, *, write: bool) -> None:
        """List and read `bucket`, which is encrypted with `key`; with `write` also change it."""
        objects = ["s3:GetObject", *(["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"] if write else [])]
        keys = ["kms:Decrypt", *(["kms:GenerateDataKey"] if write else [])]
        for actions, resource in (
            (["s3:GetBucketLocation", "s3:ListBucket"], bucket.bucket_arn),
            (objects, bucket.arn_for_objects("*")),
            (keys, key.key_arn),
        ):
            self.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        acknowledge_objects(self, bucket, "jobs choose their own names below the team's buckets")

    def grant_pull(self, repository: ecr.IRepository, key: kms.IKey) -> None:
        """Pull images of `repository`, which is encrypted with `key`."""
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                resources=[repository.repository_arn],
            )
        )
        self._allow(["ecr:GetAuthorizationToken"], "a token is for the whole registry")
        self.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key.key_arn]))

    def _allow(self, actions: list[str], reason: str) -> None:
        self.add_to_policy(iam.PolicyStatement(actions=actions, resources=["*"]))
        acknowledge(self, "IAM5[Resource::*]", reason)
