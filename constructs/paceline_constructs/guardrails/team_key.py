"""The key that everything of a team is encrypted with."""

from __future__ import annotations

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline_constructs.observability.alerts import EVENTS, PUBLISHERS

_USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


class TeamKey(kms.Key):
    """A customer-managed key, rotated every year, with `alias`.

    Some services cannot be given access by a policy of their caller: CloudWatch Logs, the role that FSx makes for
    itself to reach a linked bucket, and whoever raises an alarm at an encrypted topic. The key's policy names them, as
    narrowly as they can be named before they exist.
    """

    def __init__(self, scope: Construct, construct_id: str, *, alias: str, removal_policy: RemovalPolicy) -> None:
        super().__init__(
            scope,
            construct_id,
            alias=alias,
            description="Everything of the team: buckets, file system, images, logs",
            enable_key_rotation=True,
            removal_policy=removal_policy,
        )
        stack = Stack.of(self)
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="CloudWatchLogs",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")],
                actions=_USE,
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": stack.format_arn(
                            service="logs",
                            resource="log-group",
                            resource_name="*",
                            arn_format=ArnFormat.COLON_RESOURCE_NAME,
                        )
                    }
                },
            )
        )
        # Source: FSx for Lustre User Guide, s3-server-side-encryption-support.html. The role's name ends in the id of
        # the file system, which exists only after the key. The account as principal would not do: it passes the
        # question on to the role's own policies, and those of a service-linked role do not speak of KMS.
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="FsxThroughS3",
                principals=[iam.AnyPrincipal()],  # of this account, and only that role: see the conditions
                actions=_USE,
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "aws:PrincipalArn": stack.format_arn(
                            service="iam",
                            region="",
                            resource="role",
                            resource_name="aws-service-role/s3.data-source.lustre.fsx.amazonaws.com"
                            "/AWSServiceRoleForFSxS3Access_fs-*",
                        )
                    },
                    "StringEquals": {
                        "kms:CallerAccount": stack.account,
                        "kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}",
                    },
                },
            )
        )
        alarms = ["kms:Decrypt", "kms:GenerateDataKey*"]
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal(name) for name in PUBLISHERS],
                actions=alarms,
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Events", principals=[iam.ServicePrincipal(EVENTS)], actions=alarms, resources=["*"]
            )
        )
