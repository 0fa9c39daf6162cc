"""The security group of a server inside the VPC."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from paceline_constructs.network.closed_egress import close_egress


class ServiceSecurityGroup(ec2.SecurityGroup):
    """Admits `clients` alone, to `ports` alone (first and last of each range), and reaches only what is added to it.

    With `udp` the ports are open over UDP too.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.IVpc,
        description: str,
        clients: ec2.ISecurityGroup,
        ports: Sequence[tuple[int, int]],
        udp: bool = False,
    ) -> None:
        super().__init__(scope, construct_id, vpc=vpc, description=description, allow_all_outbound=False)
        for first, last in ports:
            for port in (ec2.Port.tcp_range(first, last), *([ec2.Port.udp_range(first, last)] if udp else [])):
                self.connections.allow_from(clients, port, description)
        close_egress(self)
