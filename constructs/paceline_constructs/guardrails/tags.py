"""Tags for cost reports and for finding one's own resources."""

from __future__ import annotations

from aws_cdk import Tags
from constructs import IConstruct

# CloudFormation replaces these when a tag changes
_TAGS_ARE_CREATE_ONLY = ["AWS::EC2::PlacementGroup"]


def tag(scope: IConstruct, key: str, value: str) -> None:
    """Tag everything in `scope` that can be tagged without danger."""
    Tags.of(scope).add(key, value, exclude_resource_types=_TAGS_ARE_CREATE_ONLY)
