"""What EC2 says, as plain data, and what it does to machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paceline.spec.errors import ClusterError
from paceline.spec.health import Action

if TYPE_CHECKING:
    from botocore.client import BaseClient

# DescribeInstanceTypes accepts no more values in a filter
_NAMES_PER_CALL = 100


def client(region: str | None) -> BaseClient:
    """An EC2 client; credentials, region and endpoint come from the standard AWS environment. ClusterError without."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoRegionError

    config = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=30)
    try:
        ec2: BaseClient = boto3.client("ec2", region_name=region, config=config)
    except NoRegionError as cause:
        raise ClusterError("no AWS region is set", "give --region, or set AWS_REGION") from cause
    return ec2


def instance_types(ec2: BaseClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What DescribeInstanceTypes says about `names`, by name. A type that the region does not have is left out."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    found: dict[str, dict[str, Any]] = {}
    try:
        pages = ec2.get_paginator("describe_instance_types")
        for first in range(0, len(names), _NAMES_PER_CALL):
            # a filter, since a name that EC2 does not know is an error as a parameter
            wanted = [{"Name": "instance-type", "Values": list(names[first : first + _NAMES_PER_CALL])}]
            for page in pages.paginate(Filters=wanted):
                found |= {item["InstanceType"]: item for item in page["InstanceTypes"]}
    except NoCredentialsError as cause:
        raise ClusterError("there are no AWS credentials", "sign in first, e.g. `aws sso login`") from cause
    except (BotoCoreError, ClientError) as cause:
        raise ClusterError(
            f"EC2 refused: {cause}", "check the credentials, the region and ec2:DescribeInstanceTypes"
        ) from cause
    return found


class Ec2Machines:
    """Machines that an Auto Scaling group or a managed node group keeps: it starts another one for each that ends."""

    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self, ec2: BaseClient) -> None:
        self._ec2 = ec2

    def reboot(self, machine: str) -> None:
        """One that does not shut down is reset hard within a few minutes (EC2 API reference, RebootInstances)."""
        self._call("reboot_instances", machine)

    def replace(self, machine: str) -> None:
        self._call("terminate_instances", machine)

    def resize(self, nodes: int) -> bool:
        return False  # the sizes of groups are the team's file's

    def _call(self, operation: str, machine: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            getattr(self._ec2, operation)(InstanceIds=[machine])
        except ClientError as cause:
            if cause.response.get("Error", {}).get("Code") == "InvalidInstanceID.NotFound":
                return  # it was given back already
            raise _refused(machine, operation, cause) from cause
        except BotoCoreError as cause:
            raise _refused(machine, operation, cause) from cause


def _refused(machine: str, operation: str, cause: Exception) -> ClusterError:
    return ClusterError(f"EC2 refused {machine}: {cause}", f"check the credentials, the region and {operation}")
