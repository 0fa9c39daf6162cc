"""A Kubernetes cluster that only its VPC can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline_constructs.eks.access_entry import AccessEntry
from paceline_constructs.guardrails.compliance import acknowledge_managed_policy

_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterProps:
    """`subnets` (two zones at least) get the interfaces of the control plane.

    `encryption_key` encrypts Kubernetes secrets and the log group, and must let CloudWatch Logs use it.
    `extended_support` false: EKS updates the cluster by itself when the standard support of `version` ends.
    """

    name: str
    version: str
    extended_support: bool
    control_plane_tier: str
    service_cidr: IPv4Network
    vpc: ec2.IVpc
    subnets: Sequence[ec2.ISubnet]
    encryption_key: kms.IKey
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class Cluster(Construct):
    """Amazon EKS: private endpoint, access by access entries alone, every log kept, secrets encrypted.

    Whoever deploys it gets no access; `grant_access` gives it, and `allow_api_from` lets a security group reach the
    endpoint. `security_group` is the one that EKS makes for nodes: its members reach each other and the endpoint. There
    is no kubectl here: what runs in the cluster is ClusterSoftware's business.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ClusterProps) -> None:
        super().__init__(scope, construct_id)
        role = self._role(props)
        retained = props.removal_policy is RemovalPolicy.RETAIN
        # EKS would make the group itself, without a key and without an end
        group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/eks/{props.name}/cluster",
            encryption_key=props.encryption_key,
            retention=props.log_retention,
            removal_policy=props.removal_policy,
        )
        self._endpoint = ec2.SecurityGroup(
            self,
            "EndpointSecurityGroup",
            vpc=props.vpc,
            description="Callers of the Kubernetes API that are not nodes",
            allow_all_outbound=False,
        )
        self.resource = eks.CfnCluster(
            self,
            "Cluster",
            name=props.name,
            version=props.version,
            role_arn=role.role_arn,
            resources_vpc_config=eks.CfnCluster.ResourcesVpcConfigProperty(
                subnet_ids=[subnet.subnet_id for subnet in props.subnets],
                security_group_ids=[self._endpoint.security_group_id],
                endpoint_private_access=True,
                endpoint_public_access=False,
            ),
            access_config=eks.CfnCluster.AccessConfigProperty(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            kubernetes_network_config=eks.CfnCluster.KubernetesNetworkConfigProperty(
                ip_family="ipv4", service_ipv4_cidr=str(props.service_cidr)
            ),
            logging=eks.CfnCluster.LoggingProperty(
                cluster_logging=eks.CfnCluster.ClusterLoggingProperty(
                    enabled_types=[eks.CfnCluster.LoggingTypeConfigProperty(type=kind) for kind in _LOGS]
                )
            ),
            encryption_config=[
                eks.CfnCluster.EncryptionConfigProperty(
                    provider=eks.CfnCluster.ProviderProperty(key_arn=props.encryption_key.key_arn),
                    resources=["secrets"],
                )
            ],
            upgrade_policy=eks.CfnCluster.UpgradePolicyProperty(
                support_type="EXTENDED" if props.extended_support else "STANDARD"
            ),
            control_plane_scaling_config=eks.CfnCluster.ControlPlaneScalingConfigProperty(
                tier=props.control_plane_tier
            ),
            bootstrap_self_managed_addons=False,  # the add-ons replace them
            deletion_protection=retained,
        )
        self.resource.apply_removal_policy(props.removal_policy)
        self.resource.node.add_dependency(group, role)
        self.cluster_name = self.resource.ref
        self.cluster_arn = self.resource.attr_arn
        self.security_group = ec2.SecurityGroup.from_security_group_id(
            self, "SecurityGroup", self.resource.attr_cluster_security_group_id
        )

    def grant_access(
        self, construct_id: str, *, principal_arn: str, policy: str, namespaces: Sequence[str] = ()
    ) -> None:
        """Let the IAM role do what the EKS access policy `policy` says; in the whole cluster without `namespaces`."""
        AccessEntry(
            self,
            f"Access-{construct_id}",
            cluster_name=self.cluster_name,
            principal_arn=principal_arn,
            policy=policy,
            namespaces=namespaces,
        )

    def allow_api_from(self, caller: ec2.ISecurityGroup, description: str) -> None:
        """Let members of `caller` reach the endpoint."""
        self._endpoint.add_ingress_rule(caller, ec2.Port.tcp(443), description)

    def grant_describe(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` find the endpoint, as `aws eks update-kubeconfig` does; access is `grant_access`'s business."""
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=["eks:DescribeCluster"], resource_arns=[self.cluster_arn]
        )

    def _role(self, props: ClusterProps) -> iam.Role:
        cluster = Stack.of(self).format_arn(service="eks", resource="cluster", resource_name=props.name)
        role = iam.Role(
            self,
            "Role",
            # on behalf of this cluster alone. Source: EKS User Guide, cross-service-confused-deputy-prevention.html
            assumed_by=iam.ServicePrincipal("eks.amazonaws.com", conditions={"ArnEquals": {"aws:SourceArn": cluster}}),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("AmazonEKSClusterPolicy")],
        )
        acknowledge_managed_policy(
            role, "AmazonEKSClusterPolicy", "EKS runs the control plane with it and maintains it"
        )
        props.encryption_key.grant(
            role, "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"
        )
        return role
