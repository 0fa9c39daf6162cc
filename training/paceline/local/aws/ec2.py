"""EC2 resource types that ministack has an API for but no CloudFormation handler.

Each handler calls ministack's own EC2 actions, so what a stack made is what `describe_*` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from xml.etree import ElementTree

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from paceline.local.aws.handler import Created, Handler, Properties

RESERVED_ADDRESSES = 5
"""Of every subnet. https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html"""


def call(action: str, parameters: Mapping[str, Any]) -> ElementTree.Element:
    """One EC2 query action on the account of the request at hand. Empty values are left out."""
    given = {name: [str(value)] for name, value in parameters.items() if value not in (None, "")}
    status, _, body = ec2._ACTION_MAP[action](given)
    answer = ElementTree.fromstring(body)
    if status >= 400:
        raise ValueError(f"{answer.findtext('.//{*}Message')} (Service: Ec2, Status Code: {status})")
    return answer


def text(answer: ElementTree.Element, name: str) -> str:
    """The first value called `name` in an answer."""
    return answer.findtext(f".//{{*}}{name}", "")


class PlacementGroup:
    """AWS::EC2::PlacementGroup."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        name = provisioners._physical_name(stack, logical_id, max_len=255)
        settings = {key: properties.get(key) for key in ("PartitionCount", "SpreadLevel")}
        answer = call("CreatePlacementGroup", {"GroupName": name, "Strategy": properties.get("Strategy"), **settings})
        group_id = text(answer, "groupId")
        provisioners._ec2_apply_tags(group_id, properties)
        return name, {"GroupName": name, "GroupId": group_id}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        raise ValueError(f"{physical_id}: a placement group cannot be updated")

    def delete(self, physical_id: str, properties: Properties) -> None:
        if physical_id in ec2._placement_groups:
            call("DeletePlacementGroup", {"GroupName": physical_id})


class ElasticIp:
    """AWS::EC2::EIP. `Ref` is the address."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        answer = call("AllocateAddress", {"Domain": properties.get("Domain", "vpc")})
        address, allocation = text(answer, "publicIp"), text(answer, "allocationId")
        provisioners._ec2_apply_tags(allocation, properties)
        if instance := properties.get("InstanceId"):
            call("AssociateAddress", {"AllocationId": allocation, "InstanceId": instance})
        return address, {"PublicIp": address, "AllocationId": allocation}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        allocation = self._allocation(physical_id)
        provisioners._ec2_apply_tags(allocation, new, old)
        if (instance := new.get("InstanceId")) and instance != old.get("InstanceId"):
            call("AssociateAddress", {"AllocationId": allocation, "InstanceId": instance})
        return physical_id, {"PublicIp": physical_id, "AllocationId": allocation}

    def delete(self, physical_id: str, properties: Properties) -> None:
        if allocation := self._allocation(physical_id):
            call("ReleaseAddress", {"AllocationId": allocation})

    def _allocation(self, address: str) -> str:
        records = ec2._addresses.values()
        return next((record["AllocationId"] for record in records if record["PublicIp"] == address), "")


class NatGateway:
    """AWS::EC2::NatGateway."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        names = ("SubnetId", "AllocationId", "ConnectivityType")
        gateway = text(call("CreateNatGateway", {name: properties.get(name) for name in names}), "natGatewayId")
        provisioners._ec2_apply_tags(gateway, properties)
        return gateway, {"NatGatewayId": gateway}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        provisioners._ec2_apply_tags(physical_id, new, old)
        return physical_id, {"NatGatewayId": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        if physical_id in ec2._nat_gateways:
            call("DeleteNatGateway", {"NatGatewayId": physical_id})


class FlowLog:
    """AWS::EC2::FlowLog."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        names = ("ResourceType", "TrafficType", "LogDestinationType", "LogDestination", "LogGroupName")
        settings = {name: properties.get(name) for name in names}
        answer = call("CreateFlowLogs", {"ResourceId.1": properties["ResourceId"], **settings})
        log = text(answer, "item")
        kept = ("LogGroupName", "DeliverLogsPermissionArn")
        ec2._flow_logs[log] |= {name: properties[name] for name in kept if name in properties}
        provisioners._ec2_apply_tags(log, properties)
        return log, {"Id": log}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        provisioners._ec2_apply_tags(physical_id, new, old)
        return physical_id, {"Id": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        call("DeleteFlowLogs", {"FlowLogId.1": physical_id})


class SecurityGroupRule:
    """AWS::EC2::SecurityGroupIngress and AWS::EC2::SecurityGroupEgress: a rule that is a resource of its own."""

    def __init__(self, *, egress: bool) -> None:
        self._egress = egress
        self._key = "IpPermissionsEgress" if egress else "IpPermissions"

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        group_id = properties.get("GroupId", "")
        group = ec2._security_groups.get(group_id)
        if group is None:
            raise ValueError(f"The security group '{group_id}' does not exist (Service: Ec2, Status Code: 400)")
        # the translation that ministack uses for the rules written inside a group
        rule = provisioners._ec2_sg_permissions([properties])[0]
        rule_id = rule["SecurityGroupRuleId"] = ec2._sg_rule_id(group_id, self._egress, rule)
        if any(ec2._sg_rule_id(group_id, self._egress, other) == rule_id for other in group[self._key]):
            raise ValueError("the specified rule already exists (Service: Ec2, Status Code: 400)")
        group[self._key].append(rule)
        return rule_id, {"Id": rule_id}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        for rule in ec2._security_groups[new["GroupId"]][self._key]:
            if rule.get("SecurityGroupRuleId") == physical_id:
                fresh = provisioners._ec2_sg_permissions([new])[0]  # only the description can change in place
                rule.update(fresh)
        return physical_id, {"Id": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        group = ec2._security_groups.get(properties.get("GroupId", ""))
        if group is not None:
            group[self._key] = [r for r in group[self._key] if r.get("SecurityGroupRuleId") != physical_id]


HANDLERS: Mapping[str, Handler] = {
    "AWS::EC2::EIP": ElasticIp(),
    "AWS::EC2::FlowLog": FlowLog(),
    "AWS::EC2::NatGateway": NatGateway(),
    "AWS::EC2::PlacementGroup": PlacementGroup(),
    "AWS::EC2::SecurityGroupEgress": SecurityGroupRule(egress=True),
    "AWS::EC2::SecurityGroupIngress": SecurityGroupRule(egress=False),
}


def vpc_attributes(vpc_id: str, properties: Properties) -> dict[str, Any]:
    """What ministack's own AWS::EC2::VPC leaves out for Fn::GetAtt."""
    return {"CidrBlock": ec2._vpcs[vpc_id]["CidrBlock"], "CidrBlockAssociations": [], "Ipv6CidrBlocks": []}


def subnet_attributes(subnet_id: str, properties: Properties) -> dict[str, Any]:
    """What ministack's own AWS::EC2::Subnet leaves out for Fn::GetAtt, and the addresses that it has."""
    subnet = ec2._subnets[subnet_id]
    subnet["AvailableIpAddressCount"] = ip_network(subnet["CidrBlock"]).num_addresses - RESERVED_ADDRESSES
    return {"VpcId": subnet["VpcId"], "CidrBlock": subnet["CidrBlock"], "Ipv6CidrBlocks": []}
