"""The security group that every EFA interface carries."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from paceline_constructs.network.closed_egress import close_egress


class EfaSecurityGroup(ec2.SecurityGroup):
    """Lets its members talk to each other over any protocol, in and out, and to nobody else.

    EFA is not TCP/IP: its packets pass only where a rule names the group itself, in *both* directions; an egress rule
    to 0.0.0.0/0 does not match them. A missing rule shows as libfabric error 4126, "Unresponsive receiver". Access to
    anything else belongs in another group of the instance.
    """

    def __init__(self, scope: Construct, construct_id: str, *, vpc: ec2.IVpc) -> None:
        super().__init__(
            scope,
            construct_id,
            vpc=vpc,
            description="EFA: all traffic between members, in and out",
            allow_all_outbound=False,
        )
        self.add_ingress_rule(self, ec2.Port.all_traffic(), "EFA from members")
        self.add_egress_rule(self, ec2.Port.all_traffic(), "EFA to members")
        close_egress(self)
