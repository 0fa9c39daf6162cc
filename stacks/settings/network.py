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
        description="addresses of the VPC, private, /16 to /28; no other team of the account and region may overlap"
        " them. It can never be changed, so choose it for the largest cluster: a /16 per team is usual",
        json_schema_extra=NEVER,
    )
    subnets: dict[ZoneId, Block] = Field(
        min_length=1,
        description="availability-zone id (use1-az4, not the name us-east-1a, which differs between accounts) to the"
        " addresses of its subnet. Adding one is live. Nodes, endpoints and (without eks.pods) pods take them",
        json_schema_extra=REPLACE,
    )
    interface_endpoints: Distinct[str] = Field(
        description="AWS services that nodes reach without the Internet, by the last part of the endpoint's name:"
        " `ecr.api` of `com.amazonaws.us-east-1.ecr.api`. Each costs money per zone and hour. S3 has a free endpoint"
        " of another kind, and always has it",
        json_schema_extra=LIVE,
    )
    flow_log_days: LogDays = Field(
        default=365, description="days that the log of all connections is kept", json_schema_extra=LIVE
    )
