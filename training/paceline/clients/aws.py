"""Clients of AWS's services, and what the SDK raises in our words.

Credentials, region and endpoint come from the standard AWS environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paceline.spec.errors import ClusterError


def client(service: str, region: str | None) -> Any:
    """A client of `service`. ClusterError when no region is known, or the profile that was named does not exist."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=30)
    with translated(service):
        connect: Any = boto3.client  # its stubs know services by literal names only
        return connect(service, region_name=region, config=config)


def account() -> str:
    """The account that the credentials are for; ClusterError without credentials."""
    with translated("sts"):
        return str(client("sts", "us-east-1").get_caller_identity()["Account"])


@contextmanager
def translated(service: str, permission: str = "") -> Iterator[None]:
    """ClusterError for whatever the SDK raises; `permission` is what the call needs, e.g. `ec2:DescribeVpcs`."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except NoCredentialsError as cause:
        raise ClusterError("there are no AWS credentials", "sign in first, e.g. `aws sso login`") from cause
    except NoRegionError as cause:
        raise ClusterError("no AWS region is set", "give --region, or set AWS_REGION") from cause
    except (BotoCoreError, ClientError) as cause:
        needed = ", ".join(filter(None, ["the credentials", "the region", permission]))
        raise ClusterError(f"{service.upper()} refused: {cause}", f"check {needed}") from cause
