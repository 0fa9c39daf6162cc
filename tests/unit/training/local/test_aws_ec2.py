"""EC2 types on ministack's own API: what a stack makes is what describe_* shows, and is gone when it is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from paceline.local.aws.ec2 import call, text


@pytest.fixture
def vpc(provision: Any) -> str:
    return str(provision("AWS::EC2::VPC", {"CidrBlock": "10.1.0.0/16"})[0])


@pytest.fixture
def group(provision: Any, vpc: str) -> str:
    return str(provision("AWS::EC2::SecurityGroup", {"GroupDescription": "EFA", "VpcId": vpc})[0])


def test_a_placement_group(provision: Any) -> None:
    name, attributes = provision("AWS::EC2::PlacementGroup", {"Strategy": "cluster"})
    shown = call("DescribePlacementGroups", {"GroupName.1": name})
    assert (text(shown, "strategy"), text(shown, "groupId")) == ("cluster", attributes["GroupId"])
    provisioners._delete_resource("AWS::EC2::PlacementGroup", name, {})
    with pytest.raises(ValueError, match="is unknown"):
        call("DescribePlacementGroups", {"GroupName.1": name})


def test_a_placement_groups_strategy_replaces_it_under_another_name(provision: Any) -> None:
    old = {"Strategy": "cluster"}
    name, _ = provision("AWS::EC2::PlacementGroup", old)
    arguments = ("AWS::EC2::PlacementGroup", name, old, {"Strategy": "spread"}, "sandbox-Test", "Thing", {})
    new_name, _ = provisioners._update_resource(*arguments)
    assert new_name != name
    assert text(call("DescribePlacementGroups", {}), "strategy") == "spread"


@pytest.mark.parametrize(("direction", "key"), [("Ingress", "IpPermissions"), ("Egress", "IpPermissionsEgress")])
def test_a_rule_between_members_of_a_group(provision: Any, group: str, direction: str, key: str) -> None:
    peer = "SourceSecurityGroupId" if direction == "Ingress" else "DestinationSecurityGroupId"
    properties = {"GroupId": group, "IpProtocol": "-1", peer: group, "Description": "EFA"}
    type_name = f"AWS::EC2::SecurityGroup{direction}"
    rule_id, attributes = provision(type_name, properties)
    assert attributes == {"Id": rule_id}
    pairs = [rule["UserIdGroupPairs"] for rule in ec2._security_groups[group][key] if rule["UserIdGroupPairs"]]
    assert pairs == [[{"GroupId": group, "Description": "EFA"}]]
    shown = call("DescribeSecurityGroupRules", {"SecurityGroupRuleId.1": rule_id})
    assert text(shown, "isEgress") == str(direction == "Egress").lower()
    with pytest.raises(ValueError, match="already exists"):
        provision(type_name, properties)
    provisioners._delete_resource(type_name, rule_id, properties)
    assert not [rule for rule in ec2._security_groups[group][key] if rule["UserIdGroupPairs"]]


def test_a_rules_description_changes_in_place(provision: Any, group: str) -> None:
    old = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 988, "ToPort": 988, "CidrIp": "10.1.0.0/16"}
    rule_id, _ = provision("AWS::EC2::SecurityGroupIngress", old)
    new = {**old, "Description": "Lustre"}
    arguments = ("AWS::EC2::SecurityGroupIngress", rule_id, old, new, "sandbox-Test", "Thing", {})
    assert provisioners._update_resource(*arguments)[0] == rule_id
    assert text(call("DescribeSecurityGroupRules", {"SecurityGroupRuleId.1": rule_id}), "description") == "Lustre"


def test_a_rule_of_an_unknown_group_is_refused(provision: Any) -> None:
    with pytest.raises(ValueError, match="'sg-404' does not exist"):
        provision("AWS::EC2::SecurityGroupIngress", {"GroupId": "sg-404", "IpProtocol": "-1"})


def test_an_address_and_a_gateway(provision: Any, vpc: str) -> None:
    subnet, _ = provision("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.1.0.0/24"})
    address, attributes = provision("AWS::EC2::EIP", {"Domain": "vpc", "Tags": [{"Key": "team", "Value": "sandbox"}]})
    properties = {"SubnetId": subnet, "AllocationId": attributes["AllocationId"]}
    gateway, _ = provision("AWS::EC2::NatGateway", properties)
    shown = call("DescribeNatGateways", {"NatGatewayId.1": gateway})
    assert (text(shown, "subnetId"), text(shown, "state")) == (subnet, "available")
    assert text(call("DescribeAddresses", {"PublicIp.1": address}), "value") == "sandbox"
    provisioners._delete_resource("AWS::EC2::NatGateway", gateway, properties)
    provisioners._delete_resource("AWS::EC2::EIP", address, {})
    assert attributes["AllocationId"] not in ec2._addresses


def test_flow_logs(provision: Any, vpc: str) -> None:
    properties = {"ResourceId": vpc, "ResourceType": "VPC", "TrafficType": "ALL", "LogGroupName": "flow"}
    log, _ = provision("AWS::EC2::FlowLog", properties)
    assert text(call("DescribeFlowLogs", {"FlowLogId.1": log}), "resourceId") == vpc
    provisioners._delete_resource("AWS::EC2::FlowLog", log, properties)
    assert log not in ec2._flow_logs


def test_attributes_that_ministack_forgets(provision: Any, vpc: str) -> None:
    _, attributes = provision("AWS::EC2::VPC", {"CidrBlock": "10.2.0.0/16"})
    assert attributes["CidrBlock"] == "10.2.0.0/16"
    assert attributes["DefaultSecurityGroup"].startswith("sg-")
    _, attributes = provision("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.1.0.0/24"})
    assert attributes["VpcId"] == vpc
