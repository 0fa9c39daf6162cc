"""What EC2 says, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paceline.clients import aws

if TYPE_CHECKING:
    from botocore.client import BaseClient

# DescribeInstanceTypes accepts no more values in a filter
_NAMES_PER_CALL = 100


def client(region: str | None) -> BaseClient:
    """An EC2 client; ClusterError without a region."""
    ec2: BaseClient = aws.client("ec2", region)
    return ec2


def instance_types(ec2: BaseClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What DescribeInstanceTypes says about `names`, by name. A type that the region does not have is left out."""
    found: dict[str, dict[str, Any]] = {}
    with aws.translated("ec2", "ec2:DescribeInstanceTypes"):
        pages = ec2.get_paginator("describe_instance_types")
        for first in range(0, len(names), _NAMES_PER_CALL):
            # a filter, since a name that EC2 does not know is an error as a parameter
            wanted = [{"Name": "instance-type", "Values": list(names[first : first + _NAMES_PER_CALL])}]
            for page in pages.paginate(Filters=wanted):
                found |= {item["InstanceType"]: item for item in page["InstanceTypes"]}
    return found


def leftover_interfaces(ec2: BaseClient, vpc: str) -> list[str]:
    """The network interfaces of `vpc` that belong to nothing any more. Each keeps its subnet from being deleted."""
    with aws.translated("ec2", "ec2:DescribeNetworkInterfaces"):
        pages = ec2.get_paginator("describe_network_interfaces").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "status", "Values": ["available"]}]
        )
        return [item["NetworkInterfaceId"] for page in pages for item in page["NetworkInterfaces"]]


def delete_interface(ec2: BaseClient, interface: str) -> None:
    """Delete a network interface; ClusterError when it is in use again."""
    with aws.translated("ec2", "ec2:DeleteNetworkInterface"):
        ec2.delete_network_interface(NetworkInterfaceId=interface)  # type: ignore[attr-defined]
