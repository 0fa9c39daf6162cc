"""A team's data and checkpoints."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from paceline.catalog.fsx import lustre
from paceline.spec.base import Record
from stacks.settings.addresses import ZoneId
from stacks.settings.update import GROW, LIVE, REPLACE

_TIERS = ", ".join(str(tier.mbps_per_tib) for tier in lustre().tiers)
_SIZES = ", ".join(map(str, lustre().first_sizes_gib)) + f" or a multiple of {lustre().size_step_gib}"


class FileSystem(Record):
    """FSx for Lustre, linked to the data bucket (which is its backup)."""

    zone: ZoneId = Field(
        description="availability-zone id, a key of network.subnets; best that of the accelerators, as traffic"
        " between zones is slower and paid for",
        json_schema_extra=REPLACE,
    )
    mbps_per_tib: int = Field(
        default=125,
        # FSx can change it in place; CloudFormation's documentation says replacement, so that is what we announce
        description=f"throughput tier in MB/s per TiB of size, one of {_TIERS}: 9600 GiB of tier 250 read 2.3 GB/s",
        json_schema_extra=REPLACE,
    )
    efa: bool = Field(
        default=False,
        description="whether clients reach the file system over EFA; at creation only, and in the larger steps of"
        " size_gib. For fleets that outrun TCP",
        json_schema_extra=REPLACE,
    )
    size_gib: int = Field(description=f"size in GiB: {_SIZES}. It can only grow", json_schema_extra=GROW)
    data_prefix: str = Field(
        default="datasets",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="prefix of the data bucket that is seen as /data of the file system, with new and changed files"
        " in both directions. A file deleted on a node stays in the bucket",
        json_schema_extra=REPLACE,
    )

    @field_validator("mbps_per_tib")
    @classmethod
    def _tier_exists(cls, value: int) -> int:
        if lustre().tier(value) is None:
            tiers = ", ".join(str(tier.mbps_per_tib) for tier in lustre().tiers)
            raise ValueError(f"FSx for Lustre has no tier of {value} MB/s per TiB ## choose one of {tiers}")
        return value

    @field_validator("size_gib")
    @classmethod
    def _size_exists(cls, value: int, info: ValidationInfo) -> int:
        tier = lustre().tier(info.data.get("mbps_per_tib", 0))
        efa = info.data.get("efa")
        if tier is None or efa is None:
            return value  # reported on its own
        if value not in (sizes := lustre().nearest_sizes(value, tier, efa=efa)):
            step = tier.efa_size_step_gib if efa else lustre().size_step_gib
            rule = f"at {tier.mbps_per_tib} MB/s per TiB {'with' if efa else 'without'} EFA sizes come in {step} GiB"
            raise ValueError(
                f"{rule}, not {value} ## the nearest legal sizes: {', '.join(str(size) for size in sizes)}"
            )
        return value


class Storage(Record):
    """Buckets for data and checkpoints, and the file system in front of the data."""

    file_system: FileSystem
    noncurrent_days: int = Field(
        default=30,
        ge=1,
        description="days that deleted and overwritten objects can be brought back, and are paid for: large"
        " checkpoints add up",
        json_schema_extra=LIVE,
    )
    access_log_days: int = Field(
        default=365, ge=1, description="days that the log of requests to the buckets is kept", json_schema_extra=LIVE
    )
