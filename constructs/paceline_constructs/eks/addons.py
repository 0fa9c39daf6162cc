"""What EKS itself installs into a cluster and keeps working."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable

from paceline.spec.names import LABEL_ROLE, LABEL_ZONE_ID, ROLE_SYSTEM
from paceline_constructs.eks.cluster import Cluster
from paceline_constructs.eks.pod_identity import pods
from paceline_constructs.guardrails.compliance import acknowledge_managed_policy

# Controllers stay on the nodes without accelerators; what must run on every node tolerates every taint by itself.
_ON_SYSTEM_NODES = {"nodeSelector": {LABEL_ROLE: ROLE_SYSTEM}}


@dataclass(frozen=True, kw_only=True, slots=True)
class AddonsProps:
    """`versions` by add-on; one that is left out gets EKS's default for the cluster's version.

    `pod_subnet_ids` by zone id: pods get interfaces there (custom networking), on nodes labelled with LABEL_ZONE_ID.
    Empty: pods share the nodes' subnets and interfaces.
    """

    cluster: Cluster
    versions: Mapping[str, str]
    pod_subnet_ids: Mapping[str, str]


class Addons(Construct):
    """The network of pods, DNS, service addresses, Pod Identity, FSx volumes and the node monitoring agent.

    `before_nodes` are those that a node needs to become ready, and to get its pods' addresses right: prefix delegation
    and custom networking apply to nodes that start after them. The others need nodes, and `after_nodes` makes them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: AddonsProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.before_nodes: Sequence[IDependable] = [
            self._addon("eks-pod-identity-agent"),
            self._network(),
            self._addon("kube-proxy"),
        ]

    def after_nodes(self, *nodes: IDependable) -> None:
        """Add what becomes healthy only with nodes to run on."""
        for addon in (
            self._addon("coredns", _ON_SYSTEM_NODES),
            # volumes are those of the storage stack: the driver mounts them, and may make none
            self._addon("aws-fsx-csi-driver", {"controller": _ON_SYSTEM_NODES, "node": {"tolerateAllTaints": True}}),
            self._addon("eks-node-monitoring-agent"),
        ):
            addon.node.add_dependency(*nodes)

    def _network(self) -> eks.CfnAddon:
        role = iam.Role(self, "NetworkRole", assumed_by=pods())
        role.add_managed_policy(iam.ManagedPolicy.from_aws_managed_policy_name("AmazonEKS_CNI_Policy"))
        acknowledge_managed_policy(role, "AmazonEKS_CNI_Policy", "attaching interfaces; AWS maintains what that takes")
        settings: dict[str, Any] = {"env": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}}
        if subnets := self._props.pod_subnet_ids:
            settings["env"] |= {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true", "ENI_CONFIG_LABEL_DEF": LABEL_ZONE_ID}
            group = self._props.cluster.security_group.security_group_id
            settings["eniConfig"] = {
                "create": True,
                "region": Stack.of(self).region,
                "subnets": {zone: {"id": subnet, "securityGroups": [group]} for zone, subnet in subnets.items()},
            }
        return self._addon("vpc-cni", settings, {"aws-node": role})

    def _addon(
        self, name: str, settings: Mapping[str, Any] | None = None, roles: Mapping[str, iam.IRole] | None = None
    ) -> eks.CfnAddon:
        return eks.CfnAddon(
            self,
            name,
            addon_name=name,
            addon_version=self._props.versions.get(name),
            cluster_name=self._props.cluster.cluster_name,
            configuration_values=Stack.of(self).to_json_string(settings) if settings else None,
            pod_identity_associations=[
                eks.CfnAddon.PodIdentityAssociationProperty(service_account=account, role_arn=role.role_arn)
                for account, role in (roles or {}).items()
            ]
            or None,
            resolve_conflicts="OVERWRITE",  # these settings are the only source
        )
