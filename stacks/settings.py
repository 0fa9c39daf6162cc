"""The parameters of teams: what `stacks/parameters/*.yaml` may say. The only place that reads those files.

A team's file is laid over `platform.yaml`, which is laid over the defaults below. Every field carries `update`, what a
change of it does to a deployed team:

    live      applied while jobs run
    drain     nodes or clients must be idle
    replace   the resource is made anew, and what it holds is gone
    never     refused for a team that holds data
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from paceline.catalog.fsx import lustre
from paceline.catalog.network import PRIVATE_RANGES, has_legal_size, is_private, usable_addresses
from paceline.catalog.zones import is_region, is_zone_of, zone_prefix
from paceline.spec.base import Record
from paceline.spec.documents import Document, Path_, dotted, nearest, read, validate
from paceline.spec.errors import ParameterError, Problem

PLATFORM = "platform"

LIVE, DRAIN, REPLACE, NEVER = ({"update": kind} for kind in ("live", "drain", "replace", "never"))


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'an account id is text, or leading zeros get lost ## write "{value:012d}"')
    return value


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value} is not a region ## write a region name such as us-east-1")
    return value


def _block(value: IPv4Network) -> IPv4Network:
    if not has_legal_size(value):
        raise ValueError(f"AWS accepts blocks from /16 to /28, not /{value.prefixlen} ## choose a size between the two")
    if not is_private(value):
        ranges = ", ".join(str(block) for block in PRIVATE_RANGES)
        raise ValueError(f"{value} is not a private range ## choose a block inside one of {ranges}")
    return value


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
    subnets: dict[str, Block] = Field(
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

    zone: str = Field(
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
    """A team is a file: `name` is the file's name."""

    name: str
    parameters: Parameters


def read_teams(directory: Path) -> tuple[Team, ...]:
    """All teams of `directory`, by name. ParameterError holds every problem of every file."""
    files = _team_files(directory)
    problems: list[Problem] = []
    documents: dict[str, Document] = {}
    teams: list[Team] = []
    for name, path in files.items():
        try:
            documents[name] = read(path, ParameterError, name=_shown(path))
        except ParameterError as error:
            problems += error.problems
    platform = documents.pop(PLATFORM, Document(data={}))
    for name, document in documents.items():
        complete = documents[name] = document.over(platform)
        try:
            team = Team(name=name, parameters=validate(Parameters, complete, ParameterError))
        except ParameterError as error:
            problems += error.problems
            continue
        teams.append(team)
        problems += _contradictions(team.parameters, complete)
    problems += _overlaps(teams, documents)
    if problems:
        raise ParameterError.of(
            list(dict.fromkeys(problems))
        )  # a mistake in platform.yaml is every team's: say it once
    return tuple(teams)


def _team_files(directory: Path) -> dict[str, Path]:
    """The files by stem, or the error that says why there is nothing to deploy."""
    shown = _shown(directory)
    if not directory.is_dir():
        raise ParameterError(f"{shown}: no such directory", "run from the root of the repository")
    paths = sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml"))
    problems = [
        Problem(message=f"{_shown(path)}: {reason}", hint=hint) for path in paths for reason, hint in _misnamed(path)
    ]
    if problems:
        raise ParameterError.of(problems)
    if PLATFORM not in {path.stem for path in paths}:
        raise ParameterError(f"{shown}/{PLATFORM}.yaml: no such file", "it holds what all teams share; restore it")
    if len(paths) == 1:
        raise ParameterError(f"{shown}: no team file", "copy sandbox.yaml of the repository and edit it")
    return {path.stem: path for path in paths}


def _misnamed(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix != ".yaml":
        yield "parameter files end in .yaml", f"rename it to {path.stem}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,18}[a-z0-9]", path.stem):
        yield (
            f"{path.stem} cannot be a team's name",
            "use 2 to 20 lower-case letters, digits and dashes; start with a letter",
        )


def _contradictions(parameters: Parameters, document: Document) -> Iterator[Problem]:
    """What is right by itself, but not together; each problem at the line that would be changed."""
    location, network = parameters.location, parameters.network

    def problem(path: Path_, reason: str, hint: str) -> Problem:
        return Problem(message=f"{document.origin(path)}: {dotted(path)}: {reason}", hint=hint)

    for zone, block in network.subnets.items():
        path: Path_ = ("network", "subnets", zone)
        if not is_zone_of(zone, location.region):
            known = f"write the id, not the name of the zone: {zone_prefix(location.region)}-az1"
            yield problem(path, f"{zone} is not an availability-zone id of {location.region}", known)
        if not block.subnet_of(network.cidr):
            yield problem(path, f"{block} lies outside the VPC's {network.cidr}", "choose a block inside network.cidr")
        if usable_addresses(block) <= len(network.interface_endpoints):
            reason = f"{usable_addresses(block)} usable addresses, and {len(network.interface_endpoints)} endpoints"
            yield problem(path, f"{reason} need one each; none is left for nodes", "make the subnet larger")
    for (one, block), (other, another) in combinations(network.subnets.items(), 2):
        if block.overlaps(another):
            yield problem(("network", "subnets", other), f"{another} overlaps {block} of {one}", "move one of the two")
    if (zone := parameters.storage.file_system.zone) not in network.subnets:
        path = ("storage", "file_system", "zone")
        yield problem(path, f"{zone} is not a zone of network.subnets", nearest(zone, list(network.subnets)))


def _overlaps(teams: list[Team], documents: dict[str, Document]) -> Iterator[Problem]:
    """Two VPCs with the same addresses can never be connected."""
    for one, other in combinations(teams, 2):
        first, second = one.parameters, other.parameters
        if first.location == second.location and first.network.cidr.overlaps(second.network.cidr):
            origin = documents[other.name].origin(("network", "cidr"))
            yield Problem(
                message=f"{origin}: network.cidr: {second.network.cidr} overlaps {first.network.cidr} of {one.name}",
                hint="give every team of an account and region its own block",
            )


def _shown(path: Path) -> str:
    """How messages call `path`: from the working directory where possible."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
