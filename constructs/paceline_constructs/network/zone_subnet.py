"""A private subnet, placed by zone id."""

from __future__ import annotations

from ipaddress import IPv4Network

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from constructs import Construct


class ZoneSubnet(ec2.CfnSubnet):
    """A subnet of the zone `zone_id` (use1-az4) whose instances get no public address; it is named after its path.

    ec2.Subnet places by zone name, and names differ between accounts.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, vpc_id: str, zone_id: str, block: IPv4Network, route_table_id: str
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            vpc_id=vpc_id,
            availability_zone_id=zone_id,
            cidr_block=str(block),
            map_public_ip_on_launch=False,
        )
        Tags.of(self).add("Name", scope.node.path)
        ec2.CfnSubnetRouteTableAssociation(
            scope, "RouteTableAssociation", subnet_id=self.ref, route_table_id=route_table_id
        )
