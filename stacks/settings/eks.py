"""A team's Kubernetes cluster."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.eks import eks
from paceline.spec.amis import Release
from paceline.spec.base import Record
from stacks.settings.addresses import Block, ZoneId
from stacks.settings.lists import Distinct
from stacks.settings.registry import RepositoryName
from stacks.settings.retention import LogDays
from stacks.settings.update import DRAIN, LIVE, NEVER, PARTS, REPLACE, STEP

RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\*?$")]
AddonVersion = Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+-eksbuild\.\d+$")]


class Access(Record):
    """What an IAM role may do in the cluster."""

    policy: str = Field(
        description="access policy of EKS: AmazonEKSViewPolicy, AmazonEKSEditPolicy, AmazonEKSAdminViewPolicy,"
        " AmazonEKSAdminPolicy. AmazonEKSClusterAdminPolicy is for emergencies, not for daily work",
        json_schema_extra=LIVE,
    )
    namespaces: Distinct[Namespace] = Field(
        default=(),
        description="namespaces in which the policy holds; a `*` may end a name. Empty: in all of them",
        json_schema_extra=LIVE,
    )


class PodNetwork(Record):
    """Addresses for pods alone, so that nodes and endpoints keep theirs."""

    cidr: Block = Field(
        description="second block of the VPC, inside 100.64.0.0/10; two teams may have the same if they are never"
        " connected",
        json_schema_extra=NEVER,
    )
    subnets: dict[ZoneId, Block] = Field(
        min_length=1,
        description="availability-zone id to the block of its pods; one for every zone that has nodes of the cluster",
        json_schema_extra=REPLACE,
    )


class SystemNodes(Record):
    """Nodes without accelerators, for what the cluster itself runs. A node group in each zone."""

    zones: Distinct[ZoneId] = Field(
        description="availability-zone ids, two at least; the endpoint of the control plane stands there too",
        json_schema_extra=REPLACE,
    )
    instance_type: str = Field(
        default="m7i.2xlarge",
        pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$",
        description="EC2 instance type without accelerators, x86_64 or arm64; the cluster's own software runs there",
        json_schema_extra=DRAIN,
    )
    min_nodes: int = Field(
        default=1, ge=1, description="nodes that are always there, in each zone", json_schema_extra=LIVE
    )
    max_nodes: int = Field(default=3, ge=1, description="most nodes, in each zone", json_schema_extra=LIVE)
    volume_gib: int = Field(
        default=100, ge=50, description="root volume of each node in GiB, encrypted", json_schema_extra=DRAIN
    )


class RepairOverride(Record):
    """What EKS does about one fault instead of its default."""

    condition: str = Field(
        description="node condition that the node monitoring agent sets, e.g. AcceleratedHardwareReady",
        json_schema_extra=LIVE,
    )
    reason: str = Field(
        description="reason that it gives for the condition, e.g. NvidiaXID79Error", json_schema_extra=LIVE
    )
    wait_minutes: int = Field(
        ge=1, description="minutes that the fault must last before anything is done", json_schema_extra=LIVE
    )
    action: Literal["Replace", "Reboot", "NoAction"] = Field(
        description="what EKS does with the node then", json_schema_extra=LIVE
    )


class Repair(Record):
    """How EKS repairs accelerator nodes by itself. A limit is a count or a percentage; without one EKS decides."""

    enabled: bool = Field(
        default=True,
        description="whether EKS reboots and replaces sick nodes. false where something else does, so that not both do",
        json_schema_extra=LIVE,
    )
    max_parallel: int | None = Field(
        default=None,
        ge=1,
        description="most nodes of a group repaired at once; not together with max_parallel_percent",
        json_schema_extra=LIVE,
    )
    max_parallel_percent: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="most nodes repaired at once, in percent of the unhealthy ones",
        json_schema_extra=LIVE,
    )
    stop_above: int | None = Field(
        default=None,
        ge=1,
        description="with more unhealthy nodes in a group than this, EKS repairs none of them: the cause is likely"
        " elsewhere. Not together with stop_above_percent",
        json_schema_extra=LIVE,
    )
    stop_above_percent: int | None = Field(
        default=None, ge=1, le=100, description="the same limit, in percent of the group", json_schema_extra=LIVE
    )
    overrides: Distinct[RepairOverride] = Field(
        default=(), description="what to do about single faults instead of the default of EKS", json_schema_extra=LIVE
    )


class Image(Record):
    """A container image of the team's registry."""

    repository: RepositoryName = Field(description="one of registry.repositories", json_schema_extra=LIVE)
    tag: str = Field(
        pattern=r"^([\w][\w.-]{0,127}|sha256:[0-9a-f]{64})$",
        description="tag, or digest as sha256:...; never `latest`: tags are fixed once they are pushed",
        json_schema_extra=LIVE,
    )


class Software(Record):
    """What is installed into the cluster, by a CodeBuild project inside the VPC."""

    tools: Image = Field(
        description="image that holds aws, kubectl, helm and bash: what installs the software runs in it",
        json_schema_extra=LIVE,
    )
    install: Distinct[str] = Field(
        default=("jobset", "kueue"),
        description="what to install, in this order: names from training/paceline/catalog/cluster_software.yaml. The"
        " device plugins of the team's accelerators belong to it",
        json_schema_extra=PARTS,
    )
    node_agent: Image | None = Field(
        default=None,
        description="image of paceline's agent, which runs on each accelerator node; without it none runs",
        json_schema_extra=LIVE,
    )
    controller: Image | None = Field(
        default=None, description="image of paceline's controller; without it none runs", json_schema_extra=LIVE
    )


class Eks(Record):
    """Amazon EKS with a private endpoint, managed node groups and add-ons."""

    version: str = Field(
        pattern=r"^1\.\d\d$",
        description='Kubernetes version, in quotes, e.g. "1.35"; only upwards, one minor version at a time',
        json_schema_extra=STEP,
    )
    extended_support: bool = Field(
        default=False,
        description="when standard support of the version ends: true keeps the version at a higher price, false lets"
        " EKS update the control plane by itself",
        json_schema_extra=LIVE,
    )
    control_plane_tier: Literal["standard", "tier-xl", "tier-2xl", "tier-4xl", "tier-8xl"] = Field(
        default="standard",
        description="size of the control plane. standard grows by itself, after load has come; the others are"
        " reserved beforehand at a price, for clusters that must take a large load at once",
        json_schema_extra=LIVE,
    )
    service_cidr: IPv4Network = Field(
        default=IPv4Network("172.20.0.0/16"),
        description="addresses of Kubernetes services, /12 to /24, private, outside the VPC and what it is connected"
        " to",
        json_schema_extra=NEVER,
    )
    access: dict[RoleArn, Access] = Field(
        default={},
        description="ARN of an IAM role to what it may do in the cluster; the roles of `governance` have access"
        " without it",
        json_schema_extra=LIVE,
    )
    addon_versions: dict[str, AddonVersion] = Field(
        default={},
        description="name of an add-on of EKS to its version, e.g. v1.2.3-eksbuild.1; without one EKS takes the"
        " default for the version of the cluster",
        json_schema_extra=LIVE,
    )
    releases: dict[str, Release] = Field(
        default={},
        description="type of an image of EKS to the release that nodes run, e.g. AL2023_x86_64_NVIDIA to"
        " 1.35.6-20260728; those not named here are pinned in amis.lock, and what is not there either is EKS's newest",
        json_schema_extra=DRAIN,
    )
    pods: PodNetwork | None = Field(
        default=None,
        description="addresses for pods; without it pods take those of the nodes' subnets, which large clusters"
        " exhaust",
        json_schema_extra=REPLACE,
    )
    pods_per_node: int = Field(
        default=32,
        ge=1,
        le=eks().max_pods_per_node,
        description="pods that an accelerator node is expected to hold. It limits nothing: the budget of addresses"
        " counts with it",
        json_schema_extra=LIVE,
    )
    system_nodes: SystemNodes
    repair: Repair = Field(default=Repair(), description="how EKS repairs accelerator nodes", json_schema_extra=LIVE)
    max_unavailable: int = Field(
        default=1,
        ge=1,
        le=100,
        description="nodes of an accelerator group that an update of the group takes away at once",
        json_schema_extra=LIVE,
    )
    software: Software | None = Field(
        default=None,
        description="what is installed into the cluster; without it it has the add-ons of EKS only, and no scheduler"
        " of jobs",
        json_schema_extra=LIVE,
    )
    log_days: LogDays = Field(
        default=365, description="days that the logs of the control plane are kept", json_schema_extra=LIVE
    )
