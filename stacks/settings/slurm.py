"""A team's Slurm cluster, run by AWS Parallel Computing Service (PCS)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from paceline.catalog.fsx import open_zfs
from paceline.catalog.slurm import ImageKind, pcs
from paceline.spec.amis import AmiId
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from stacks.settings.addresses import ZoneId
from stacks.settings.lists import Distinct
from stacks.settings.update import DRAIN, GROW, GROW_DRAIN, LIVE, REPLACE

AccountName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,29}$")]
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]

_SIZES = ", ".join(f"{size.nodes} for {size.name}" for size in pcs().sizes)


class Homes(Record):
    """Home directories on FSx for OpenZFS, mounted as /home on every node."""

    zone: ZoneId = Field(
        description="availability-zone id, a key of network.subnets; best that of the accelerators, as traffic"
        " between zones is slower and paid for",
        json_schema_extra=REPLACE,
    )
    size_gib: int = Field(
        ge=open_zfs().min_size_gib,
        le=open_zfs().max_size_gib,
        description="size in GiB; it can only grow",
        json_schema_extra=GROW,
    )
    mbps: int = Field(
        default=160,
        description="throughput of the file server in MB/s: more for many people or many small files",
        json_schema_extra=DRAIN,
    )
    highly_available: bool = Field(
        default=True,
        description="whether a second file server in the same zone takes over when the first fails; it costs more",
        json_schema_extra=REPLACE,
    )
    backup_days: int = Field(
        default=30,
        ge=0,
        le=open_zfs().max_backup_days,
        description="days that daily backups are kept. 0: no backups",
        json_schema_extra=LIVE,
    )

    @field_validator("mbps")
    @classmethod
    def _throughput_exists(cls, value: int) -> int:
        if value not in (known := open_zfs().throughputs_mbps):
            legal = ", ".join(map(str, known))
            raise ValueError(f"there is no FSx for OpenZFS with {value} MB/s ## choose one of {legal}")
        return value


class Login(Record):
    """Nodes to work on, reached through AWS Systems Manager only: no SSH, no key pair."""

    zone: ZoneId = Field(
        description="availability-zone id of the login nodes, a key of network.subnets", json_schema_extra=LIVE
    )
    instance_type: str = Field(
        default="m6i.2xlarge",
        pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$",
        description="EC2 instance type, x86_64, without accelerators: people edit and compile there",
        json_schema_extra=REPLACE,
    )
    nodes: int = Field(default=1, ge=1, le=8, description="login nodes that are always there", json_schema_extra=LIVE)
    volume_gib: int = Field(
        default=100, ge=50, description="root volume of each node in GiB, encrypted", json_schema_extra=DRAIN
    )


class Accounting(Record):
    """Slurm's database of jobs, run by PCS. It has a price per hour."""

    keep_days: int | None = Field(
        default=None,
        ge=1,
        le=pcs().max_accounting_days,
        description="days that the record of a job is kept. Without it for ever",
        json_schema_extra=LIVE,
    )


class SlurmAccount(Record):
    """A group of people, and what of the cluster is theirs."""

    people: Distinct[UserName] = Field(
        min_length=1, description="user names on the nodes; one may be in several accounts", json_schema_extra=LIVE
    )
    nodes: int = Field(
        default=0,
        ge=0,
        description="nodes, of whichever source, that its jobs get before all others: who uses them meanwhile in the"
        " QOS `spare` is requeued. 0: it has only what is idle",
        json_schema_extra=LIVE,
    )
    weight: int = Field(
        default=1,
        ge=1,
        description="its share of what is idle, against the weights of the other accounts",
        json_schema_extra=LIVE,
    )


class Slurm(Record):
    """A managed Slurm controller, login nodes and homes. Every capacity source that serves slurm is a partition."""

    zone: ZoneId = Field(
        description="availability-zone id of the controller's network interface, a key of network.subnets",
        json_schema_extra=REPLACE,
    )
    version: str = Field(
        description='version of Slurm, in quotes, e.g. "25.11"; it can only rise. AWS ends the support of each',
        json_schema_extra=GROW_DRAIN,
    )
    size: Literal["SMALL", "MEDIUM", "LARGE"] = Field(
        description=f"size of the controller, by the most nodes that it manages, login nodes included: {_SIZES}."
        " Choose it for the largest cluster",
        json_schema_extra=REPLACE,
    )
    images: dict[ImageKind, AmiId] = Field(
        default={},
        description="kind of node to the id of its AMI, which must be ready for PCS: cpu for login nodes, nvidia and"
        " neuron for the capacity sources that the team has; those not named here are pinned in amis.lock",
        json_schema_extra=DRAIN,
    )
    root_device: str = Field(
        default=pcs().root_device,
        pattern=r"^/dev/(sda1|xvda)$",
        description="where the images attach their root volume: /dev/sda1 for Ubuntu, as those of PCS; /dev/xvda for"
        " Amazon Linux",
        json_schema_extra=DRAIN,
    )
    homes: Homes
    login: Login
    accounting: Accounting | None = Field(
        default=Accounting(),
        description="Slurm's database of jobs; null: none, and fair share and limits by account do not work",
        json_schema_extra=LIVE,
    )
    accounts: dict[AccountName, SlurmAccount] = Field(
        default={},
        description="name of a group of people to what is theirs; `paceline team accounts` writes the commands that"
        " tell Slurm. Empty: whoever comes first",
        json_schema_extra=LIVE,
    )
    idle_seconds: int = Field(
        default=600,
        ge=1,
        description="seconds that a node above min_nodes may idle before it is ended",
        json_schema_extra=LIVE,
    )
    settings: dict[str, str] = Field(
        default={},
        description="further parameters of slurm.conf by name; those that PCS allows, without those that paceline sets",
        json_schema_extra=LIVE,
    )
    containers: bool = Field(
        default=True,
        description="whether nodes set up Enroot and Pyxis (srun --container-image); the AMI must hold both",
        json_schema_extra=DRAIN,
    )
    agent_digest: str | None = Field(
        default=None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="digest of the image `node-agent` in the team's registry, sha256:...; without it nodes run no"
        " agent",
        json_schema_extra=DRAIN,
    )

    @field_validator("version")
    @classmethod
    def _version_is_supported(cls, value: str) -> str:
        row, newest = pcs().version(value), pcs().supported
        if row is None:
            raise ValueError(f"there is no Slurm {value} on PCS ## {nearest(value, list(newest))}")
        if not row.supported:
            reason = f"support of Slurm {value} on PCS ended on {row.end_of_life}"
            raise ValueError(f"{reason} ## choose one of {', '.join(newest)}")
        return value
