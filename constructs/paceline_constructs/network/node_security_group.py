"""The security group of nodes that run jobs."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct


class NodeSecurityGroup(ec2.SecurityGroup):
    """Lets its members talk to each other over any protocol, in and out, and call AWS over HTTPS.

    It belongs on interfaces that have an address; EFA has a group of its own (`EfaSecurityGroup`). Who offers something
    else to nodes, a file system or a scheduler, adds the rules of both sides.
    """

    def __init__(self, scope: Construct, construct_id: str, *, vpc: ec2.IVpc, description: str) -> None:
        super().__init__(scope, construct_id, vpc=vpc, description=description, allow_all_outbound=False)
        # torch.distributed, NCCL and Gloo choose ports freely
        self.connections.allow_internally(ec2.Port.all_traffic(), "Jobs between nodes")
        allow_aws(self)


def allow_aws(group: ec2.SecurityGroup) -> None:
    """Let members of `group` call the endpoints of AWS services.

    The gateway endpoint of S3 has public addresses, and their list is found only by asking AWS. The VPC has no way to
    the Internet: what is not an endpoint is not reached.
    """
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "HTTPS to the endpoints of AWS services")
