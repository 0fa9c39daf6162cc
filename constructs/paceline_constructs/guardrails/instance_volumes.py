"""Who may encrypt the volumes of instances that a service launches for us."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms


def grant_instance_volumes(key: kms.Key, service_linked_role: str) -> None:
    """Let instances with volumes encrypted by `key` be launched by `service_linked_role`, written `service/role`.

    Without it an instance ends as soon as it starts (Client.InternalError). The role's own policies do not speak of
    KMS, and it may not exist yet, so it is named in a condition. Source: AWS PCS User Guide,
    security-key-policy-for-encrypted-volumes.html; EC2 Auto Scaling User Guide, key-policy-requirements-EBS-encryption.
    """
    stack = Stack.of(key)
    role = stack.format_arn(
        service="iam", region="", resource="role", resource_name=f"aws-service-role/{service_linked_role}"
    )
    conditions = {"ArnEquals": {"aws:PrincipalArn": role}}
    name = service_linked_role.rpartition("/")[2]
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid=f"{name}Use",
            principals=[iam.AnyPrincipal()],  # of this account, and only that role: see the condition
            actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            resources=["*"],
            conditions=conditions,
        )
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid=f"{name}Attach",
            principals=[iam.AnyPrincipal()],
            actions=["kms:CreateGrant"],
            resources=["*"],
            conditions={**conditions, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        )
    )
