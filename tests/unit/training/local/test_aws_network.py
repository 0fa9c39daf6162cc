"""Networks, as the SDK shows them after a stack was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ministack.services.cloudformation import provisioners

Client = Callable[[str], Any]


@pytest.fixture
def vpc(provision: Any) -> str:
    return str(provision("AWS::EC2::VPC", {"CidrBlock": "10.1.0.0/16"})[0])


def endpoint(vpc: str, service: str, **more: Any) -> dict[str, Any]:
    name = f"com.amazonaws.us-east-1.{service}"
    return {"VpcId": vpc, "ServiceName": name, "VpcEndpointType": "Interface", "PrivateDnsEnabled": True, **more}


def test_a_second_address_block(provision: Any, client: Client, vpc: str) -> None:
    other, _ = provision("AWS::EC2::VPC", {"CidrBlock": "10.2.0.0/16"})
    given = {"VpcId": vpc, "CidrBlock": "100.64.0.0/16"}
    block, attributes = provision("AWS::EC2::VPCCidrBlock", given)
    assert block == attributes["Id"]

    def blocks(name: str) -> dict[str, str]:
        (shown,) = client("ec2").describe_vpcs(VpcIds=[name])["Vpcs"]
        assert {b["CidrBlockState"]["State"] for b in shown["CidrBlockAssociationSet"]} == {"associated"}
        return {b["CidrBlock"]: b["AssociationId"] for b in shown["CidrBlockAssociationSet"]}

    assert blocks(vpc).keys() == {"10.1.0.0/16", "100.64.0.0/16"}
    assert blocks(vpc)["100.64.0.0/16"] == block
    assert blocks(other).keys() == {"10.2.0.0/16"}
    provisioners._delete_resource("AWS::EC2::VPCCidrBlock", block, given)
    assert blocks(vpc).keys() == {"10.1.0.0/16"}


def test_a_subnet_counts_the_addresses_that_it_has(provision: Any, client: Client, vpc: str) -> None:
    subnet, _ = provision("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.1.0.0/18"})
    (shown,) = client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert shown["AvailableIpAddressCount"] == 16379


def test_an_endpoint_with_its_groups(provision: Any, client: Client, vpc: str) -> None:
    group, _ = provision("AWS::EC2::SecurityGroup", {"GroupDescription": "endpoints", "VpcId": vpc})
    made, _ = provision("AWS::EC2::VPCEndpoint", endpoint(vpc, "ssm", SecurityGroupIds=[group]))
    (shown,) = client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made])["VpcEndpoints"]
    assert shown["PrivateDnsEnabled"] is True
    assert [found["GroupId"] for found in shown["Groups"]] == [group]


def test_endpoints_are_found_by_filters(provision: Any, client: Client, vpc: str) -> None:
    tags = [{"Key": "team", "Value": "vision"}]
    ssm, _ = provision("AWS::EC2::VPCEndpoint", endpoint(vpc, "ssm", Tags=tags))
    provision("AWS::EC2::VPCEndpoint", endpoint(vpc, "ec2"))
    other, _ = provision("AWS::EC2::VPCEndpoint", endpoint("vpc-other", "ssm"))

    def found(**filters: str) -> set[str]:
        given = [{"Name": name.replace("__", ":").replace("_", "-"), "Values": [v]} for name, v in filters.items()]
        answer = client("ec2").describe_vpc_endpoints(Filters=given)
        return {shown["VpcEndpointId"] for shown in answer["VpcEndpoints"]}

    assert found(service_name="*.ssm") == {ssm, other}
    assert found(service_name="*.ssm", vpc_id=vpc) == {ssm}
    assert found(tag__team="vision") == {ssm}
    assert found(tag__team="speech") == set()


def test_an_endpoint_of_another_service_is_another_endpoint(provision: Any, client: Client, vpc: str) -> None:
    old = endpoint(vpc, "ssm")
    made, _ = provision("AWS::EC2::VPCEndpoint", old)
    update = (provisioners._update_resource, "AWS::EC2::VPCEndpoint", made, old)
    in_place, _ = update[0](*update[1:], {**old, "PrivateDnsEnabled": False}, "sandbox-Test", "Thing")
    assert in_place == made
    anew, _ = update[0](*update[1:], endpoint(vpc, "ec2"), "sandbox-Test", "Thing")
    assert anew != made


def test_where_a_flow_log_goes(provision: Any, client: Client, vpc: str) -> None:
    given = {
        "ResourceId": vpc,
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogDestinationType": "cloud-watch-logs",
        "LogGroupName": "flows",
        "DeliverLogsPermissionArn": "arn:aws:iam::1:role/flows",
    }
    log, _ = provision("AWS::EC2::FlowLog", given)
    (shown,) = client("ec2").describe_flow_logs(FlowLogIds=[log])["FlowLogs"]
    assert (shown["LogGroupName"], shown["DeliverLogsPermissionArn"]) == ("flows", "arn:aws:iam::1:role/flows")
