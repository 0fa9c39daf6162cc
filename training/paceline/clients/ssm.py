"""What AWS and stacks publish as parameters of Systems Manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paceline.clients import aws

# GetParameters takes no more names at once
_NAMES_PER_CALL = 10


def client(region: str | None) -> Any:
    """An SSM client; ClusterError without a region."""
    return aws.client("ssm", region)


def parameters(ssm: Any, names: Sequence[str]) -> dict[str, str]:
    """The values of `names`, by name. One that there is not in the region is left out."""
    found: dict[str, str] = {}
    with aws.translated("ssm", "ssm:GetParameters"):
        for first in range(0, len(names), _NAMES_PER_CALL):
            answer = ssm.get_parameters(Names=list(names[first : first + _NAMES_PER_CALL]))
            found |= {item["Name"]: item["Value"] for item in answer["Parameters"]}
    return found
