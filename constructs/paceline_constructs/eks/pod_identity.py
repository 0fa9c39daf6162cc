"""IAM permissions for what runs in pods."""

from __future__ import annotations

from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from constructs import Construct


def pod_role(scope: Construct, construct_id: str) -> iam.Role:
    """A role that EKS Pod Identity hands to pods; without policies yet."""
    return iam.Role(
        scope,
        construct_id,
        assumed_by=iam.SessionTagsPrincipal(iam.ServicePrincipal("pods.eks.amazonaws.com")),
    )


class PodIdentity(Construct):
    """Gives the pods of one service account the permissions of `role`; use it as a grantee: `bucket.grant_read(role)`.

    The association takes effect for pods that start after it. The cluster needs the add-on eks-pod-identity-agent.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, cluster_name: str, namespace: str, service_account: str
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = pod_role(self, "Role")
        eks.CfnPodIdentityAssociation(
            self,
            "Association",
            cluster_name=cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=self.role.role_arn,
        )
