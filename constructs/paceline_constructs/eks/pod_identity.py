"""IAM permissions for what runs in pods."""

from __future__ import annotations

from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from constructs import Construct


def pods() -> iam.IPrincipal:
    """Whom a role trusts that EKS hands to pods. Which pods get it is said by a PodIdentity or by an add-on."""
    return iam.SessionTagsPrincipal(iam.ServicePrincipal("pods.eks.amazonaws.com"))


class PodIdentity(eks.CfnPodIdentityAssociation):
    """Gives `role`, which trusts `pods()`, to the pods of one service account: `pod` is its namespace and its name.

    It takes effect for pods that start after it. The cluster needs the add-on eks-pod-identity-agent.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, cluster_name: str, pod: tuple[str, str], role: iam.IRole
    ) -> None:
        namespace, service_account = pod
        super().__init__(
            scope,
            construct_id,
            cluster_name=cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.role_arn,
        )
