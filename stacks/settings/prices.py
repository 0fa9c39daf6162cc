"""What a team's nodes and file systems cost: the prices that the platform team has agreed with AWS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.update import LIVE

InstanceType = Annotated[str, Field(pattern=r"^(ml\.)?[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
PurchaseKind = Literal[
    "on-demand", "spot", "odcr", "odcr-attached", "odcr-interruptible", "capacity-block", "ultraserver-block",
    "training-plan",
]  # fmt: skip
Availability = Literal["single", "highly-available"]
Usd = Annotated[float, Field(ge=0)]


class Prices(Record):
    """In US dollars. What is missing or null is unknown, and said to be; nothing is deployed from prices."""

    instance_hours: dict[InstanceType, dict[PurchaseKind, Usd | None]] = Field(
        default={},
        description="instance type to the price of an hour, by how it is bought; HyperPod's types begin with ml.",
        json_schema_extra=LIVE,
    )
    lustre_gib_months: dict[int, Usd | None] = Field(
        default={}, description="MB/s per TiB of FSx for Lustre to the price of a GiB-month", json_schema_extra=LIVE
    )
    open_zfs_gib_months: dict[Availability, Usd | None] = Field(
        default={}, description="price of a GiB-month of FSx for OpenZFS", json_schema_extra=LIVE
    )
    open_zfs_mbps_months: dict[Availability, Usd | None] = Field(
        default={}, description="price of a month of 1 MB/s of FSx for OpenZFS", json_schema_extra=LIVE
    )
