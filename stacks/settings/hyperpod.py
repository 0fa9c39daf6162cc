"""A team's SageMaker HyperPod cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.hyperpod import hyperpod
from paceline.spec.base import Record
from stacks.settings.addresses import ZoneId
from stacks.settings.capacity import SourceName
from stacks.settings.lists import Distinct
from stacks.settings.update import DRAIN, LIVE, REPLACE

_RULES = hyperpod()

GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,29}$")]
QuotaName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
PriorityName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
Weight = Annotated[int, Field(ge=0, le=100)]


class HostGroup(Record):
    """Nodes without accelerators."""

    role: Literal["controller", "login", "worker"] = Field(
        description="what the nodes are for. With Slurm: controller (exactly one group, of one node) or login. With"
        " EKS: worker",
        json_schema_extra=REPLACE,
    )
    instance_type: str = Field(
        description="EC2 instance type without accelerators and without `ml.`, e.g. m5.4xlarge", json_schema_extra=DRAIN
    )
    nodes: int = Field(default=1, ge=0, description="nodes that are always there", json_schema_extra=LIVE)
    zone: ZoneId = Field(
        description="availability-zone id of the nodes, a key of network.subnets", json_schema_extra=REPLACE
    )
    volume_gib: int = Field(
        default=100,
        ge=1,
        le=_RULES.max_volume_gib,
        description="volume at /opt/sagemaker of each node in GiB",
        json_schema_extra=DRAIN,
    )


class Quota(Record):
    """What one group of people may use of the cluster (EKS only)."""

    instances: dict[SourceName, int] = Field(
        min_length=1,
        max_length=_RULES.max_quota_entries,
        description="name of a capacity source to how many of its nodes belong to the group",
        json_schema_extra=LIVE,
    )
    sharing: Literal["lend", "keep", "lend-and-borrow"] = Field(
        default="lend-and-borrow",
        description="what happens to the group's idle nodes. lend: others may use them. keep: they stay idle."
        " lend-and-borrow: others may, and the group may use those of others",
        json_schema_extra=LIVE,
    )
    borrow_percent: int | None = Field(
        default=None,
        ge=0,
        le=_RULES.max_borrow_percent,
        description="most that the group borrows, in percent of its quota; only with lend-and-borrow. Without it 50",
        json_schema_extra=LIVE,
    )
    weight: Weight = Field(
        default=0,
        description="share of idle nodes that the group gets, against the weights of the other quotas",
        json_schema_extra=LIVE,
    )
    preempt: bool = Field(
        default=True,
        description="whether a task of higher priority stops running tasks of lower priority of the same group",
        json_schema_extra=LIVE,
    )


class Governance(Record):
    """Who runs first and who may use what (EKS only; Kueue underneath)."""

    priorities: dict[PriorityName, Weight] = Field(
        max_length=_RULES.max_priority_classes,
        description="name of a priority class to its weight; the heavier runs first",
        json_schema_extra=LIVE,
    )
    fair_share: bool = Field(
        default=True,
        description="whether idle nodes are handed out by weight; false: first come, first served",
        json_schema_extra=LIVE,
    )
    quotas: dict[QuotaName, Quota] = Field(
        default={},
        description="name of a group of people to its quota; its Kubernetes namespace is hyperpod-ns- and that name",
        json_schema_extra=LIVE,
    )


class HyperPod(Record):
    """The cluster; every capacity source that serves hyperpod is an instance group.

    Nodes are provisioned continuously: the cluster starts with those there are, and goes on asking for the others.
    """

    orchestrator: Literal["eks", "slurm"] = Field(
        description="what schedules the jobs. eks needs the section `eks`; with slurm HyperPod runs its own",
        json_schema_extra=REPLACE,
    )
    zone: ZoneId = Field(
        description="availability-zone id of the cluster's own subnet, a key of network.subnets; groups may lie in"
        " others",
        json_schema_extra=REPLACE,
    )
    groups: dict[GroupName, HostGroup] = Field(
        default={},
        description="name of your choice to a group of nodes without accelerators; Slurm needs its controller here",
        json_schema_extra=LIVE,
    )
    node_recovery: bool = Field(
        default=True, description="whether HyperPod reboots and replaces sick nodes by itself", json_schema_extra=LIVE
    )
    deep_health_checks: Distinct[Literal["InstanceStress", "InstanceConnectivity"]] = Field(
        default=("InstanceStress", "InstanceConnectivity"),
        description="what accelerator nodes go through before their first job, for about two hours: stress of each"
        " instance, connections between them. Empty: nothing",
        json_schema_extra=LIVE,
    )
    tiered_storage_percent: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="percent of each node's memory for HyperPod's own tiered checkpoints (EKS only). Without it none;"
        " paceline's checkpoints do not need it",
        json_schema_extra=DRAIN,
    )
    threads_per_core: Literal[1, 2] = Field(
        default=1,
        description="hardware threads per core of accelerator nodes; 1 turns hyper-threading off",
        json_schema_extra=DRAIN,
    )
    scripts: str | None = Field(
        default=None,
        pattern=r"^s3://",
        description="s3:// URI of a folder of your own lifecycle scripts, with an on_create.sh; the bucket's name"
        " must start with `sagemaker-`. Without it paceline's scripts, in a bucket of the team",
        json_schema_extra=DRAIN,
    )
    governance: Governance | None = Field(
        default=None,
        description="task governance: priorities and quotas (EKS only). Without it whoever comes first runs first",
        json_schema_extra=LIVE,
    )
