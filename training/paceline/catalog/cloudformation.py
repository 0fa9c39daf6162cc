"""What CloudFormation accepts (cloudformation.yaml)."""

from __future__ import annotations

from functools import cache

from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class TemplateLimits(Record):
    """The largest template that can be deployed; it comes from a bucket."""

    sources: dict[str, str]
    max_resources: int
    max_bytes: int


@cache
def template_limits() -> TemplateLimits:
    """The limits of cloudformation.yaml."""
    return TemplateLimits.model_validate(read_table("cloudformation"))
