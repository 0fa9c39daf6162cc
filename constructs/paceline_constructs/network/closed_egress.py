"""Security groups that reach only what their rules name."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2


def close_egress(group: ec2.SecurityGroup) -> None:
    """Replace EC2's implicit rule "to anywhere" of `group` by one to the own host.

    EC2 drops the implicit rule when the group is created with an egress rule. Rules that name a security group are
    resources of their own and come later, so a group that has only such rules needs one from the start.
    """
    resource = group.node.default_child
    assert isinstance(resource, ec2.CfnSecurityGroup)
    resource.add_property_override(
        "SecurityGroupEgress", [{"CidrIp": "127.0.0.1/32", "IpProtocol": "-1", "Description": "Nowhere else"}]
    )
