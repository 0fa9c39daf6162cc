"""SageMaker HyperPod: a cluster with its instance groups, and the nodes that the groups would hold.

Shapes: API_DescribeCluster.html and API_ClusterNodeSummary.html of https://docs.aws.amazon.com/sagemaker/latest/APIReference/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from paceline.local.aws.store import Resource, Store
from paceline.local.aws.views.remembered import named
from paceline.local.aws.views.service import Operation, Request, ServiceError

CLUSTER = "AWS::SageMaker::Cluster"


def operations(store: Store) -> Mapping[str, Operation]:
    """The operations on one cluster of `store`, by name or ARN."""

    def cluster(request: Request) -> Resource:
        if found := named(store, CLUSTER, request["ClusterName"]):
            return found
        raise ServiceError("ResourceNotFound", f"Cluster with name {request['ClusterName']} does not exist")

    def describe(request: Request) -> dict[str, Any]:
        found = cluster(request)
        answer = found.properties | found.attributes | {"CreationTime": found.created}
        return answer | {"InstanceGroups": [_group(group) for group in found.properties.get("InstanceGroups", ())]}

    def nodes(request: Request) -> dict[str, Any]:
        part = request.get("InstanceGroupNameContains", "")
        return {"ClusterNodeSummaries": [n for n in _nodes(cluster(request)) if part in n["InstanceGroupName"]]}

    def node(request: Request) -> dict[str, Any]:
        for found in _nodes(cluster(request)):
            if found["InstanceId"] == request["NodeId"]:
                return {"NodeDetails": found}
        raise ServiceError("ResourceNotFound", f"Node {request['NodeId']} does not exist")

    return {"DescribeCluster": describe, "ListClusterNodes": nodes, "DescribeClusterNode": node}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"CurrentCount": int(group["InstanceCount"]), "TargetCount": int(group["InstanceCount"])}
    return {**group, **counts, "Status": "InService"}


def _nodes(cluster: Resource) -> Iterator[dict[str, Any]]:
    for group in cluster.properties.get("InstanceGroups", ()):
        for index in range(int(group["InstanceCount"])):
            # the same at every call: an instance keeps its id
            digest = hashlib.sha256(f"{cluster.id}/{group['InstanceGroupName']}/{index}".encode()).hexdigest()
            yield {
                "InstanceGroupName": group["InstanceGroupName"],
                "InstanceId": f"i-{digest[:17]}",
                "InstanceStatus": {"Status": "Running"},
                "InstanceType": group.get("InstanceType"),
                "LaunchTime": cluster.created,
            }
