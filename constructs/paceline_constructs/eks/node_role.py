"""What nodes of a cluster may do."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge_managed_policy

_POLICIES = {
    "AmazonEKSWorkerNodePolicy": "joining a cluster; AWS maintains what that takes",
    "AmazonEC2ContainerRegistryPullOnly": "pulling images, and nothing else; repositories are named by their policies",
    "AmazonSSMManagedInstanceCore": "sessions by SSM are the only way to a node",
}


class NodeRole(iam.Role):
    """Joins the cluster, pulls images, answers SSM. Pods get their permissions from Pod Identity, not from here."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in _POLICIES],
        )
        for name, reason in _POLICIES.items():
            acknowledge_managed_policy(self, name, reason)
