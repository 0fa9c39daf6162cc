"""What an IAM role may do in a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_eks as eks
from constructs import Construct


class AccessEntry(eks.CfnAccessEntry):
    """Lets the role `principal_arn` do what the EKS access policy `policy` says; everywhere without `namespaces`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster_name: str,
        principal_arn: str,
        policy: str,
        namespaces: Sequence[str] = (),
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            cluster_name=cluster_name,
            principal_arn=principal_arn,
            type="STANDARD",
            access_policies=[
                eks.CfnAccessEntry.AccessPolicyProperty(
                    policy_arn=f"arn:{Stack.of(scope).partition}:eks::aws:cluster-access-policy/{policy}",
                    access_scope=eks.CfnAccessEntry.AccessScopeProperty(
                        type="namespace" if namespaces else "cluster", namespaces=list(namespaces) or None
                    ),
                )
            ],
        )
