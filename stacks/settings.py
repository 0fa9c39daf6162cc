"""What the files in `stacks/parameters/` may say, as types.

Every field carries `update`, what a change of it does to a deployed team:

    live      applied while jobs run
    drain     nodes or clients must be idle
    replace   the resource is made anew, and what it holds is gone
    never     refused for a team that holds data
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from paceline.catalog.fsx import lustre
from paceline.catalog.network import PRIVATE_RANGES, has_legal_size, is_private
from paceline.catalog.zones import is_region, is_zone_id
from paceline.spec.base import Record

LIVE: JsonDict = {"update": "live"}
DRAIN: JsonDict = {"update": "drain"}
REPLACE: JsonDict = {"update": "replace"}
NEVER: JsonDict = {"update": "never"}


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'an account id is text, or leading zeros get lost ## write "{value:012d}"')
    return value


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value} is not a region ## write a region name such as us-east-1")
    return value


def _zone_id(value: str) -> str:
    if not is_zone_id(value):
        raise ValueError(f"{value} is not an availability-zone id ## write the zone's id, not its name, e.g. use1-az1")
    return value


def _block(value: IPv4Network) -> IPv4Network:
    if not has_legal_size(value):
        raise ValueError(f"AWS accepts blocks from /16 to /28, not /{value.prefixlen} ## choose a size between the two")
    if not is_private(value):
        ranges = ", ".join(str(block) for block in PRIVATE_RANGES)
        raise ValueError(f"{value} is not a private range ## choose a block inside one of {ranges}")
    return value


ZoneId = Annotated[str, AfterValidator(_zone_id)]
Block = Annotated[IPv4Network, AfterValidator(_block)]


class Location(Record):
    """Where the team lives."""

    account: Annotated[str, BeforeValidator(_account)] = Field(
        pattern=r"^\d{12}$", description="12-digit AWS account id, in quotes", json_schema_extra=NEVER
    )
    region: Annotated[str, AfterValidator(_region)] = Field(
        description="AWS region, e.g. us-east-1", json_schema_extra=NEVER
    )


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
    interface_endpoints: tuple[str, ...] = Field(
        description="AWS services reached without the Internet, as in com.amazonaws.<region>.<name>; each costs money"
        " per zone and hour. S3 has a free gateway endpoint and is not listed",
        json_schema_extra=LIVE,
    )
    flow_log_days: Literal[30, 90, 365, 3653] = Field(
        default=365, description="how long flow logs are kept", json_schema_extra=LIVE
    )


class FileSystem(Record):
    """FSx for Lustre, linked to the data bucket (which is its backup)."""

    zone: ZoneId = Field(
        description="availability-zone id; a key of network.subnets, best the zone of the accelerators",
        json_schema_extra=REPLACE,
    )
    mbps_per_tib: int = Field(
        default=125, description="throughput tier, in MB/s per TiB of size; never with EFA", json_schema_extra=DRAIN
    )
    efa: bool = Field(
        default=False,
        description="clients reach the file system over EFA; set at creation only",
        json_schema_extra=REPLACE,
    )
    size_gib: int = Field(description="storage capacity; can only grow", json_schema_extra=LIVE)
    data_prefix: str = Field(
        default="datasets",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="prefix of the data bucket that appears as /data",
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
        description="how long deleted and overwritten objects can be brought back",
        json_schema_extra=LIVE,
    )
    access_log_days: int = Field(
        default=365, ge=1, description="how long the buckets' access logs are kept", json_schema_extra=LIVE
    )


RepositoryName = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]


class Registry(Record):
    """Container images."""

    repositories: tuple[RepositoryName, ...] = Field(
        min_length=1, description="one repository each, named paceline/<team>/<name>", json_schema_extra=LIVE
    )
    keep_images: int = Field(default=50, ge=1, description="images per repository", json_schema_extra=LIVE)


class Parameters(Record):
    """One team, complete."""

    location: Location
    network: Network
    storage: Storage
    registry: Registry
    lifecycle: Literal["retained", "disposable"] = Field(
        default="retained",
        description="retained: stacks cannot be deleted, and data outlives them. disposable: destroying the team"
        " destroys everything (buckets must be emptied first)",
        json_schema_extra=LIVE,
    )
    permission_boundary: str | None = Field(
        default=None,
        pattern=r"^[\w+=,.@/-]+$",
        description="name of an IAM policy that bounds every role of the team",
        json_schema_extra=LIVE,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A team is a file: `name` is the file's name without its ending."""

    name: str
    parameters: Parameters
