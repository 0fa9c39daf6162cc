"""A team's network."""

from __future__ import annotations

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.addresses import Block, ZoneId
from stacks.settings.lists import Distinct
from stacks.settings.retention import LogDays
from stacks.settings.update import LIVE, NEVER, REPLACE


class Network(Record):
    """A VPC without a way to the Internet."""

    cidr: Block = Field(
        description="the VPC's block, /16 to /28; unique among the teams of an account and region",
        json_schema_extra=NEVER,
    )
    subnets: dict[ZoneId, Block] = Field(
        min_length=1,
        description="availability-zone *id* (use1-az4) to the block of its subnet; adding one is live",
        json_schema_extra=REPLACE,
    )
    interface_endpoints: Distinct[str] = Field(
        description="AWS services reached without the Internet, as in com.amazonaws.<region>.<name>; each costs money"
        " per zone and hour. S3 has a free gateway endpoint and is not listed",
        json_schema_extra=LIVE,
    )
    flow_log_days: LogDays = Field(default=365, description="how long flow logs are kept", json_schema_extra=LIVE)
