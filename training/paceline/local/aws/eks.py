"""EKS add-ons, access entries and pod identity: ministack has an API for them but no CloudFormation handler.

Clusters and node groups have one, which forgets what it does not know: repair settings, for one. It is put back. The
API's bodies are the template's properties with a small first letter; ministack keeps what it knows of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import ec2, eks

from paceline.local.aws.handler import Created, Handler, Properties, camel, small


def body(properties: Properties) -> dict[str, Any]:
    """A template's properties as the body of an API call."""
    given: dict[str, Any] = camel({key: value for key, value in properties.items() if key != "Tags"})
    return {**given, "tags": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}}


def answer(response: tuple[int, Mapping[str, str], bytes | str]) -> dict[str, Any]:
    """The body of an API answer; a refusal is a ValueError."""
    status, _, content = response
    document: dict[str, Any] = json.loads(content)
    if status >= 400:
        raise ValueError(f"{document.get('message')} (Service: Eks, Status Code: {status})")
    return document


class Addon:
    """AWS::EKS::Addon."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        cluster = properties["ClusterName"]
        addon = answer(eks._create_addon(cluster, body(properties)))["addon"]
        return f"{cluster}|{addon['addonName']}", {"Arn": addon["addonArn"]}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        cluster, name = physical_id.split("|")
        answer(eks._update_addon(cluster, name, body(new)))
        return physical_id, {"Arn": answer(eks._describe_addon(cluster, name))["addon"]["addonArn"]}

    def delete(self, physical_id: str, properties: Properties) -> None:
        eks._delete_addon(*physical_id.split("|"))


class AccessEntry:
    """AWS::EKS::AccessEntry, with its access policies."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        cluster, principal = properties["ClusterName"], properties["PrincipalArn"]
        entry = answer(eks._create_access_entry(cluster, body(properties)))["accessEntry"]
        self._associate(cluster, principal, properties)
        return f"{principal}|{cluster}", {"AccessEntryArn": entry["accessEntryArn"]}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        principal, cluster = physical_id.split("|")
        entry = answer(eks._update_access_entry(cluster, principal, body(new)))["accessEntry"]
        for policy in old.get("AccessPolicies", []):
            eks._disassociate_access_policy(cluster, principal, policy["PolicyArn"])
        self._associate(cluster, principal, new)
        return physical_id, {"AccessEntryArn": entry["accessEntryArn"]}

    def delete(self, physical_id: str, properties: Properties) -> None:
        principal, cluster = physical_id.split("|")
        eks._delete_access_entry(cluster, principal)

    def _associate(self, cluster: str, principal: str, properties: Properties) -> None:
        for policy in properties.get("AccessPolicies", []):
            answer(eks._associate_access_policy(cluster, principal, camel(policy)))


class PodIdentityAssociation:
    """AWS::EKS::PodIdentityAssociation."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        response = eks._create_pod_identity_association(properties["ClusterName"], body(properties))
        return self._created(answer(response)["association"])

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        association = physical_id.rsplit("/", 1)[-1]
        response = eks._update_pod_identity_association(new["ClusterName"], association, body(new))
        return self._created(answer(response)["association"])

    def delete(self, physical_id: str, properties: Properties) -> None:
        eks._delete_pod_identity_association(properties["ClusterName"], physical_id.rsplit("/", 1)[-1])

    def _created(self, association: Mapping[str, Any]) -> Created:
        arn = association["associationArn"]
        attributes = {"AssociationArn": arn, "AssociationId": association["associationId"]}
        return arn, attributes | {"ExternalId": association.get("externalId", "")}


HANDLERS: Mapping[str, Handler] = {
    "AWS::EKS::AccessEntry": AccessEntry(),
    "AWS::EKS::Addon": Addon(),
    "AWS::EKS::PodIdentityAssociation": PodIdentityAssociation(),
}


def complete_cluster(name: str, properties: Properties) -> dict[str, Any]:
    """Put what the template says of a cluster into ministack's record; the attributes that its handler leaves out."""
    cluster = eks._clusters[name]
    network = cluster["kubernetesNetworkConfig"]
    _put_back(cluster, properties, but=("Logging", "ResourcesVpcConfig"))
    cluster["kubernetesNetworkConfig"] = network | cluster["kubernetesNetworkConfig"]
    for subnet in cluster["resourcesVpcConfig"]["subnetIds"][:1]:
        cluster["resourcesVpcConfig"]["vpcId"] = (ec2._subnets.get(subnet) or {}).get("VpcId")
    keys = [entry["provider"]["keyArn"] for entry in cluster["encryptionConfig"]]
    return {"Id": name, "EncryptionConfigKeyArn": keys[0] if keys else ""}


def complete_nodegroup(name: str, properties: Properties) -> dict[str, Any]:
    """Put what the template says of a node group into ministack's record; the attribute that its handler leaves out.

    Nodes of a launch template take type and disk from it, and remote access is there only where it is asked for:
    https://docs.aws.amazon.com/eks/latest/APIReference/API_Nodegroup.html
    """
    cluster = properties["ClusterName"]
    group = eks._nodegroups[f"{cluster}/{name}"]
    _put_back(group, properties, but=("Labels", "ScalingConfig"))
    if "LaunchTemplate" in properties:
        for key in {"InstanceTypes", "DiskSize"} - properties.keys():
            group.pop(small(key), None)
    if "RemoteAccess" not in properties:
        group["resources"].pop("remoteAccessSecurityGroup", None)
    return {"Id": f"{cluster}/{name}"}


def _put_back(record: dict[str, Any], properties: Properties, *, but: tuple[str, ...]) -> None:
    """`but` and the tags are those that ministack keeps, in the API's own shape."""
    record |= camel({key: value for key, value in properties.items() if key not in (*but, "Tags")})
