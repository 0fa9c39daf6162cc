"""A second block of the VPC, for pods alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from paceline_constructs.network.zone_subnet import ZoneSubnet


@dataclass(frozen=True, kw_only=True, slots=True)
class PodNetworkProps:
    """`blocks` are by zone id, inside `cidr`; `neighbours` are the nodes' subnets, whose routes the pods share."""

    vpc: ec2.IVpc
    cidr: IPv4Network
    blocks: Mapping[str, IPv4Network]
    neighbours: Mapping[str, ec2.ISubnet]
    endpoints: ec2.ISecurityGroup


class PodNetwork(Construct):
    """`subnet_ids` by zone id. Whole subnets hold nothing but pods, so their /28 prefixes never get fragmented.

    The group of the VPC's endpoints admits the VPC's first block only; it gets a rule for this one.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PodNetworkProps) -> None:
        super().__init__(scope, construct_id)
        block = ec2.CfnVPCCidrBlock(self, "Block", vpc_id=props.vpc.vpc_id, cidr_block=str(props.cidr))
        self.subnet_ids: dict[str, str] = {}
        for zone_id, cidr in sorted(props.blocks.items()):
            zone = Construct(self, zone_id)
            subnet = ZoneSubnet(
                zone,
                "Subnet",
                vpc_id=props.vpc.vpc_id,
                zone_id=zone_id,
                block=cidr,
                route_table_id=props.neighbours[zone_id].route_table.route_table_id,
            )
            subnet.add_resource_dependency(block)
            self.subnet_ids[zone_id] = subnet.ref
        ec2.CfnSecurityGroupIngress(
            self,
            "EndpointRule",
            group_id=props.endpoints.security_group_id,
            cidr_ip=str(props.cidr),
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            description="HTTPS from pods",
        )
