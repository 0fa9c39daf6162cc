"""What EC2 says, as plain data, and what it does to machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paceline.clients import aws
from paceline.spec.health import Action

if TYPE_CHECKING:
    from botocore.client import BaseClient

# DescribeInstanceTypes accepts no more values in a filter, DescribeInstanceTopology no more ids
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


def images(ec2: BaseClient, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What DescribeImages says about `ids`, by id; ClusterError when one of them is not there (any more)."""
    with aws.translated("ec2", "ec2:DescribeImages"):
        pages = ec2.get_paginator("describe_images").paginate(ImageIds=list(ids))
        return {item["ImageId"]: item for page in pages for item in page["Images"]}


def switches(ec2: BaseClient, machines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What DescribeInstanceTopology says about the instances `machines`: the network nodes that each hangs on, from the
    top layer down. An instance of a type for which EC2 does not tell is left out."""
    found: dict[str, tuple[str, ...]] = {}
    with aws.translated("ec2", "ec2:DescribeInstanceTopology"):
        pages = ec2.get_paginator("describe_instance_topology")
        for first in range(0, len(machines), _NAMES_PER_CALL):
            for page in pages.paginate(InstanceIds=list(machines[first : first + _NAMES_PER_CALL])):
                found |= {item["InstanceId"]: tuple(item["NetworkNodes"]) for item in page["Instances"]}
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


class Ec2Machines:
    """Machines that an Auto Scaling group or a managed node group keeps: it starts another one for each that ends."""

    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self, ec2: BaseClient) -> None:
        self._ec2 = ec2

    def status(self, machines: Sequence[str]) -> list[dict[str, Any]]:
        """What DescribeInstanceStatus says about those of `machines` that run."""
        with aws.translated("ec2", "ec2:DescribeInstanceStatus"):
            # all of the region: an id that EC2 no longer knows is an error as a parameter, and no filter takes ids
            pages = self._ec2.get_paginator("describe_instance_status").paginate()
            found = {item["InstanceId"]: item for page in pages for item in page["InstanceStatuses"]}
        return [found[machine] for machine in machines if machine in found]

    def reboot(self, machine: str) -> None:
        """One that does not shut down is reset hard within a few minutes (EC2 API reference, RebootInstances)."""
        self._call("reboot_instances", machine)

    def replace(self, machine: str) -> None:
        self._call("terminate_instances", machine)

    def resize(self, nodes: int) -> bool:
        return False  # the sizes of groups are the team's file's

    def _call(self, operation: str, machine: str) -> None:
        from botocore.exceptions import ClientError

        with aws.translated("ec2", f"ec2:{operation.title().replace('_', '')} of {machine}"):
            try:
                getattr(self._ec2, operation)(InstanceIds=[machine])
            except ClientError as cause:
                if cause.response.get("Error", {}).get("Code") != "InvalidInstanceID.NotFound":
                    raise
                # it was given back already
