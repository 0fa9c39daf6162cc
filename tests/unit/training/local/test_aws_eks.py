"""EKS types on ministack's own API."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.services import eks
from ministack.services.cloudformation import provisioners

from paceline.local.aws.eks import answer

PRINCIPAL = "arn:aws:iam::123456789012:role/researcher"
POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"


@pytest.fixture
def cluster(account: str) -> str:
    # the record only: ministack's CreateCluster would start a container where there is a daemon
    eks._clusters["pod"] = {"name": "pod"}
    return "pod"


def update(type_name: str, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    updated = provisioners._update_resource(type_name, physical_id, old, new, "sandbox-Test", "Thing", {})
    return str(updated[0])


def test_an_addon(provision: Any, cluster: str) -> None:
    name = "AWS::EKS::Addon"
    old = {"ClusterName": cluster, "AddonName": "vpc-cni", "AddonVersion": "v1"}
    physical_id, attributes = provision(name, old)
    assert physical_id == "pod|vpc-cni"
    assert update(name, physical_id, old, {**old, "AddonVersion": "v2"}) == physical_id
    addon = answer(eks._describe_addon(cluster, "vpc-cni"))["addon"]
    assert (addon["addonVersion"], addon["addonArn"]) == ("v2", attributes["Arn"])
    provisioners._delete_resource(name, physical_id, old)
    with pytest.raises(ValueError, match="No addon found"):
        answer(eks._describe_addon(cluster, "vpc-cni"))


def test_an_access_entry_with_its_policies(provision: Any, cluster: str) -> None:
    name = "AWS::EKS::AccessEntry"
    policies = [{"PolicyArn": POLICY, "AccessScope": {"Type": "namespace", "Namespaces": ["vision"]}}]
    old = {"ClusterName": cluster, "PrincipalArn": PRINCIPAL, "AccessPolicies": policies}
    physical_id, _ = provision(name, old)
    assert physical_id == f"{PRINCIPAL}|pod"
    shown = answer(eks._list_associated_access_policies(cluster, PRINCIPAL, {}))["associatedAccessPolicies"]
    assert [policy["accessScope"]["namespaces"] for policy in shown] == [["vision"]]
    assert update(name, physical_id, old, {**old, "AccessPolicies": []}) == physical_id
    assert not answer(eks._list_associated_access_policies(cluster, PRINCIPAL, {}))["associatedAccessPolicies"]
    provisioners._delete_resource(name, physical_id, old)


def test_a_pod_identity(provision: Any, cluster: str) -> None:
    name = "AWS::EKS::PodIdentityAssociation"
    old = {"ClusterName": cluster, "Namespace": "vision", "ServiceAccount": "train", "RoleArn": "arn:aws:iam::1:role/a"}
    physical_id, attributes = provision(name, {**old, "Tags": [{"Key": "team", "Value": "vision"}]})
    assert physical_id == attributes["AssociationArn"]
    assert update(name, physical_id, old, {**old, "RoleArn": "arn:aws:iam::1:role/b"}) == physical_id
    found = answer(eks._describe_pod_identity_association(cluster, attributes["AssociationId"]))["association"]
    assert (found["roleArn"], found["tags"]) == ("arn:aws:iam::1:role/b", {"team": "vision"})
    provisioners._delete_resource(name, physical_id, old)


def test_without_a_cluster_it_is_refused(provision: Any) -> None:
    with pytest.raises(ValueError, match=r"No cluster found for name: none.*Status Code: 404"):
        provision("AWS::EKS::Addon", {"ClusterName": "none", "AddonName": "vpc-cni"})
