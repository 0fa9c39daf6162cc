"""What nodes of a HyperPod cluster may do."""

from __future__ import annotations

from typing import Literal

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge

# SageMaker User Guide, sagemaker-hyperpod-prerequisites-iam.html, for a cluster in one's own VPC
_NETWORK = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:DetachNetworkInterface",
)
_EKS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:AttachNetworkInterface",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeTags",
    "ec2:ModifyNetworkInterfaceAttribute",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "eks-auth:AssumeRoleForPodIdentity",
)


class InstanceRole(iam.Role):
    """The execution role of instance groups. Volumes are encrypted with `encryption_key`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        orchestrator: Literal["eks", "slurm"],
        encryption_key: kms.IKey,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Nodes of the HyperPod cluster",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSageMakerClusterInstanceRolePolicy")
            ],
        )
        acknowledge(
            self,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSageMakerClusterInstanceRolePolicy]",
            "HyperPod requires this very policy",
        )
        self._allow([*_NETWORK, *(_EKS if orchestrator == "eks" else ())], ["*"])
        acknowledge(self, "IAM5[Resource::*]", "what HyperPod's guide asks for: its interfaces have no names")
        stack = Stack.of(self)
        interfaces = stack.format_arn(service="ec2", resource="network-interface", resource_name="*")
        self._allow(["ec2:CreateTags"], [interfaces])
        name = stack.resolve(interfaces)
        acknowledge(self, f"IAM5[Resource::{name}]", "interfaces are tagged as they are made")
        # SageMaker User Guide, smcluster-cmk.html
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:CreateGrant", "kms:DescribeKey"],
                resources=[encryption_key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"sagemaker.{stack.region}.{stack.url_suffix}"}},
            )
        )

    def _allow(self, actions: list[str], resources: list[str]) -> None:
        self.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
