"""The key that everything of a team is encrypted with."""

from __future__ import annotations

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline_constructs.observability.alerts import EVENTS, PUBLISHERS

# Who launches nodes with encrypted volumes: EKS node groups through Auto Scaling, PCS through EC2 Fleet. Sources: EC2
# Auto Scaling User Guide, key-policy-requirements-EBS-encryption.html; AWS PCS User Guide, working-with_ebs-encryption;
# EC2 User Guide, service-linked-roles-spot-instance-requests.html.
_LAUNCHERS = (
    "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
    "ec2fleet.amazonaws.com/AWSServiceRoleForEC2Fleet",
    "pcs.amazonaws.com/AWSServiceRoleForPCS",
    "spot.amazonaws.com/AWSServiceRoleForEC2Spot",
)

_USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


class TeamKey(kms.Key):
    """A customer-managed key, rotated every year, with `alias`.

    Some services cannot be given access by a policy of their caller: CloudWatch Logs, the role that FSx makes for
    itself to reach a linked bucket, the roles that launch nodes, and whoever raises an alarm at an encrypted topic. The
    key's policy names them, as narrowly as they can be named before they exist.
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
        self._let_in_launchers(stack)
        self._let_in_alarms(stack)

    def _let_in_launchers(self, stack: Stack) -> None:
        roles = [
            stack.format_arn(service="iam", region="", resource="role", resource_name=f"aws-service-role/{name}")
            for name in _LAUNCHERS
        ]
        of_this_account = {
            "ArnEquals": {"aws:PrincipalArn": roles},
            "StringEquals": {"kms:CallerAccount": stack.account},
        }
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="VolumesOfNodes",
                principals=[iam.AnyPrincipal()],  # of this account, and only those roles: see the conditions
                actions=_USE,
                resources=["*"],
                conditions=of_this_account,
            )
        )
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="GrantsForVolumesOfNodes",
                principals=[iam.AnyPrincipal()],
                actions=["kms:CreateGrant"],
                resources=["*"],
                conditions=of_this_account | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )

    def _let_in_alarms(self, stack: Stack) -> None:
        use = ["kms:Decrypt", "kms:GenerateDataKey*"]
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal(name) for name in PUBLISHERS],
                actions=use,
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
        self.add_to_resource_policy(
            iam.PolicyStatement(sid="Events", principals=[iam.ServicePrincipal(EVENTS)], actions=use, resources=["*"])
        )
