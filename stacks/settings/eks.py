"""A team's Kubernetes cluster."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.eks import eks
from paceline.spec.base import Record
from stacks.settings.addresses import Block, ZoneId
from stacks.settings.lists import Distinct
from stacks.settings.registry import RepositoryName
from stacks.settings.retention import LogDays
from stacks.settings.update import DRAIN, LIVE, NEVER, REPLACE

RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\*?$")]
AddonVersion = Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+-eksbuild\.\d+$")]


class Access(Record):
    """What an IAM role may do in the cluster."""

    policy: str = Field(
        description="access policy of EKS, e.g. AmazonEKSViewPolicy; never AmazonEKSClusterAdminPolicy for daily work",
        json_schema_extra=LIVE,
    )
    namespaces: Distinct[Namespace] = Field(
        default=(),
        description="where it holds; `*` at the end matches the rest. None: everywhere",
        json_schema_extra=LIVE,
    )


class PodNetwork(Record):
    """Addresses for pods alone, so that nodes and endpoints keep theirs."""

    cidr: Block = Field(
        description="second block of the VPC, inside 100.64.0.0/10; may repeat between teams that are never connected",
        json_schema_extra=NEVER,
    )
    subnets: dict[ZoneId, Block] = Field(
        min_length=1,
        description="availability-zone id to the block of its pods, for every zone with nodes of the cluster",
        json_schema_extra=REPLACE,
    )


class SystemNodes(Record):
    """Nodes without accelerators, for what the cluster itself runs. A node group in each zone."""

    zones: Distinct[ZoneId] = Field(
        description="zone ids, two at least; the control plane is reachable there too", json_schema_extra=REPLACE
    )
    instance_type: str = Field(
        default="m7i.2xlarge",
        pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$",
        description="EC2 instance type without accelerators",
        json_schema_extra=DRAIN,
    )
    min_nodes: int = Field(default=1, ge=1, description="nodes per zone that are always there", json_schema_extra=LIVE)
    max_nodes: int = Field(default=3, ge=1, description="most nodes per zone", json_schema_extra=LIVE)
    volume_gib: int = Field(default=100, ge=50, description="root volume of each node", json_schema_extra=DRAIN)


class RepairOverride(Record):
    """What EKS does about one fault instead of its default."""

    condition: str = Field(description="node condition, e.g. AcceleratedHardwareReady", json_schema_extra=LIVE)
    reason: str = Field(description="reason of the condition, e.g. NvidiaXID79Error", json_schema_extra=LIVE)
    wait_minutes: int = Field(ge=1, description="how long the fault must last", json_schema_extra=LIVE)
    action: Literal["Replace", "Reboot", "NoAction"] = Field(
        description="what is done with the node", json_schema_extra=LIVE
    )


class Repair(Record):
    """How EKS repairs accelerator nodes by itself. A limit is a count or a percentage; without one EKS decides."""

    enabled: bool = Field(default=True, description="whether EKS reboots and replaces nodes", json_schema_extra=LIVE)
    max_parallel: int | None = Field(default=None, ge=1, description="nodes repaired at once", json_schema_extra=LIVE)
    max_parallel_percent: int | None = Field(
        default=None, ge=1, le=100, description="the same, in percent of the unhealthy nodes", json_schema_extra=LIVE
    )
    stop_above: int | None = Field(
        default=None,
        ge=1,
        description="unhealthy nodes of a group above which EKS repairs none",
        json_schema_extra=LIVE,
    )
    stop_above_percent: int | None = Field(
        default=None, ge=1, le=100, description="the same, in percent of the group", json_schema_extra=LIVE
    )
    overrides: Distinct[RepairOverride] = Field(
        default=(), description="other actions for single faults", json_schema_extra=LIVE
    )


class Image(Record):
    """A container image of the team's registry."""

    repository: RepositoryName = Field(description="one of registry.repositories", json_schema_extra=LIVE)
    tag: str = Field(
        pattern=r"^([\w][\w.-]{0,127}|sha256:[0-9a-f]{64})$",
        description="tag, or digest as sha256:...; never `latest`, which names nothing in a registry of fixed tags",
        json_schema_extra=LIVE,
    )


class Software(Record):
    """What is installed into the cluster, by a CodeBuild project inside the VPC."""

    tools: Image = Field(description="image with aws, kubectl, helm and bash", json_schema_extra=LIVE)
    install: Distinct[str] = Field(
        default=("jobset", "kueue"),
        description="names of the table cluster_software.yaml, in the order of their installation",
        json_schema_extra=LIVE,
    )
    node_agent: Image | None = Field(
        default=None, description="paceline's agent on each accelerator node; none without it", json_schema_extra=LIVE
    )
    controller: Image | None = Field(
        default=None, description="paceline's controller; none without it", json_schema_extra=LIVE
    )


class Eks(Record):
    """Amazon EKS with a private endpoint, managed node groups and add-ons."""

    version: str = Field(
        pattern=r"^1\.\d\d$",
        description='Kubernetes version, in quotes, e.g. "1.35"; only upwards',
        json_schema_extra=DRAIN,
    )
    extended_support: bool = Field(
        default=False,
        description="true: keep a version beyond its standard support at a higher price; false: EKS updates the cluster"
        " by itself then",
        json_schema_extra=LIVE,
    )
    control_plane_tier: Literal["standard", "tier-xl", "tier-2xl", "tier-4xl", "tier-8xl"] = Field(
        default="standard", description="size of the control plane; standard scales by itself", json_schema_extra=LIVE
    )
    service_cidr: IPv4Network = Field(
        default=IPv4Network("172.20.0.0/16"),
        description="addresses of Kubernetes services, outside the VPC; chosen once",
        json_schema_extra=NEVER,
    )
    access: dict[RoleArn, Access] = Field(
        default={}, description="ARN of an IAM role to what it may do in the cluster", json_schema_extra=LIVE
    )
    addon_versions: dict[str, AddonVersion] = Field(
        default={},
        description="add-on to its version, v1.2.3-eksbuild.1; without one EKS takes its default for the cluster",
        json_schema_extra=LIVE,
    )
    pods: PodNetwork | None = Field(
        default=None, description="without it pods take addresses of the nodes' subnets", json_schema_extra=REPLACE
    )
    pods_per_node: int = Field(
        default=32,
        ge=1,
        le=eks().max_pods_per_node,
        description="pods that an accelerator node is expected to hold; the budget of addresses counts with it",
        json_schema_extra=LIVE,
    )
    system_nodes: SystemNodes
    repair: Repair = Field(default=Repair(), description="repair of accelerator nodes", json_schema_extra=LIVE)
    max_unavailable: int = Field(
        default=1, ge=1, le=100, description="accelerator nodes of a group updated at once", json_schema_extra=LIVE
    )
    software: Software | None = Field(
        default=None, description="without it the cluster has the add-ons of EKS only", json_schema_extra=LIVE
    )
    log_days: LogDays = Field(
        default=365, description="how long the logs of the control plane are kept", json_schema_extra=LIVE
    )
