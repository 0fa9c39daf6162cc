"""EC2 networks: what ministack forgets, or keeps and does not show, of VPCs, endpoints and flow logs.

Shapes: API_Vpc.html, API_VpcEndpoint.html and API_FlowLog.html of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
"""

from __future__ import annotations

from ministack.services import ec2

from paceline.local.aws.store import Store
from paceline.local.aws.views import query

SECONDARY_BLOCK = "AWS::EC2::VPCCidrBlock"


def install(store: Store) -> None:
    """Complete the answers; the secondary address blocks of VPCs are in `store`."""

    def vpc(item: query.Element) -> None:
        (blocks,) = item.iterfind("{*}cidrBlockAssociationSet")
        for resource in store.all(SECONDARY_BLOCK):
            if resource.properties["VpcId"] == item.findtext("{*}vpcId"):
                shown = {"AssociationId": resource.id, "CidrBlockState": {"State": "associated"}}
                blocks.append(query.element("item", {"CidrBlock": resource.properties["CidrBlock"], **shown}))

    query.complete("DescribeVpcs", "vpcSet", vpc)
    query.complete("DescribeVpcEndpoints", "vpcEndpointSet", _endpoint)
    query.keep_to_filters("DescribeVpcEndpoints", "vpcEndpointSet")
    query.complete("DescribeFlowLogs", "flowLogSet", _flow_log)


def _endpoint(item: query.Element) -> None:
    endpoint = ec2._vpc_endpoints[item.findtext("{*}vpcEndpointId", "")]
    groups = [
        {"GroupId": group, "GroupName": (ec2._security_groups.get(group) or {}).get("GroupName", "")}
        for group in endpoint.get("SecurityGroupIds", ())
    ]
    item.append(query.element("groupSet", groups))
    item.append(query.element("privateDnsEnabled", endpoint.get("PrivateDnsEnabled", False)))


def _flow_log(item: query.Element) -> None:
    log = ec2._flow_logs[item.findtext("{*}flowLogId", "")]
    for name in ("logGroupName", "deliverLogsPermissionArn"):
        if value := log.get(name[0].upper() + name[1:]):
            item.append(query.element(name, value))
